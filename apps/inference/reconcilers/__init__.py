"""Making engines agree with the rows: replicas brought along, endpoints steered, engines watched."""

from apps.inference.reconcilers.logs import read_asked, read_log
from apps.inference.reconcilers.passes import reconcile_due, reconcile_replica
from apps.inference.reconcilers.steering import steer_due, steer_endpoint
from apps.inference.reconcilers.sweeps import catch_up, sweep_clusters, watch_providers, watch_replicas

__all__ = [
    "catch_up",
    "read_asked",
    "read_log",
    "reconcile_due",
    "reconcile_replica",
    "steer_due",
    "steer_endpoint",
    "sweep_clusters",
    "watch_providers",
    "watch_replicas",
]
