"""Drivers are opened here, once per cluster and process."""

import time

from apps.drivers.base import ComputeDriver, Driver
from apps.drivers.engines import CanServe
from apps.drivers.errors import Rejected
from apps.drivers.registry import driver_for
from apps.regions.models import Cluster

CLUSTERS_FOR = 5.0  # seconds for which a cluster's configuration is trusted

_open: dict[str, tuple[str, Driver]] = {}
_clusters: dict[str, tuple[float, Cluster]] = {}


def cluster_of(cluster_id: str) -> Cluster:
    """The cluster's row, read at most every few seconds."""
    known = _clusters.get(cluster_id)
    if known is None or time.monotonic() - known[0] > CLUSTERS_FOR:
        known = (time.monotonic(), Cluster.objects.get(pk=cluster_id))
        _clusters[cluster_id] = known
    return known[1]


def driver_of(cluster: Cluster) -> ComputeDriver:
    """The driver of a cluster that has machines; raises `Rejected`."""
    driver = any_driver_of(cluster)
    if not isinstance(driver, ComputeDriver):
        raise Rejected("This cluster has no machines.")
    return driver


def engines_of(cluster: Cluster) -> CanServe:
    """The driver of a cluster that runs engines; raises `Rejected`."""
    driver = any_driver_of(cluster)
    if not isinstance(driver, CanServe):
        raise Rejected("This cluster runs no engines.")
    return driver


def any_driver_of(cluster: Cluster) -> Driver:
    """The driver of a cluster, made anew when its configuration changed; raises `Rejected`."""
    marker = f"{cluster.kind} {cluster.config!r} {cluster.credentials}"
    known = _open.get(cluster.pk)
    if known and known[0] == marker:
        return known[1]
    if known:
        known[1].close()
    driver = driver_for(cluster.kind, cluster.driver_config)
    _open[cluster.pk] = (marker, driver)
    return driver


def close_drivers() -> None:
    """Let go of every connection of this process."""
    while _open:
        _pk, (_marker, driver) = _open.popitem()
        driver.close()
