"""Making the world agree with the rows: single instances, stray machines, running ones watched."""

from apps.instances.reconcilers.consoles import open_console
from apps.instances.reconcilers.passes import reconcile_due, reconcile_instance
from apps.instances.reconcilers.sweeps import clear_draining, sweep_cluster, sweep_clusters, watch_clusters

__all__ = [
    "clear_draining",
    "open_console",
    "reconcile_due",
    "reconcile_instance",
    "sweep_cluster",
    "sweep_clusters",
    "watch_clusters",
]
