"""Drivers are opened here, once per cluster and process."""

from apps.drivers.base import ComputeDriver
from apps.drivers.registry import driver_for
from apps.regions.models import Cluster

_open: dict[str, tuple[str, ComputeDriver]] = {}


def driver_of(cluster: Cluster) -> ComputeDriver:
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
