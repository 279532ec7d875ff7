"""Whole clusters at once: machines that are nobody's, and running machines that are watched."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from django.conf import settings

from apps.core.actor import SYSTEM
from apps.core.clock import db_now
from apps.core.failpoints import failpoint
from apps.drivers.base import ComputeDriver, Counters, HasMetrics, Power
from apps.drivers.errors import DriverError, Transient
from apps.instances.models import Instance
from apps.instances.services import strays, watching, wishes
from apps.instances.states import Desired, State
from apps.nodes.models import Node
from apps.nodes.states import State as NodeState
from apps.regions.models import Cluster
from apps.regions.reconcilers import cluster_of, driver_of

log = structlog.get_logger(__name__)

ENOUGH_FAILURES = 3  # after so many in a row the whole cluster is taken to be out of sight


def sweep_clusters() -> None:
    """Look for stray machines in every cluster of every region that is not frozen."""
    clusters = Cluster.objects.live().filter(region__frozen_at=None).order_by("pk")
    for pk in list(clusters.values_list("pk", flat=True)):
        sweep_cluster(cluster_id=pk)


def sweep_cluster(*, cluster_id: str, now: datetime | None = None) -> list[str]:
    """Remove what was nobody's in two listings at least five minutes apart; returns the names removed.

    A listing that fails, is incomplete or is empty ends the pass: nothing may be concluded from it.
    """
    cluster = cluster_of(cluster_id)
    owned = strays.owned_names(cluster=cluster)  # read first: what is launched meanwhile is owned later
    try:
        driver = driver_of(cluster)
        listing = driver.list_machines()
    except DriverError as error:
        log.warning("listing_failed", cluster=cluster_id, error=error.detail)
        return []
    if not listing.is_complete or not listing.machines:
        return []
    ours = {ref.name for ref in listing.machines if ref.installation == settings.INSTALLATION_ID}
    moment = now or db_now()
    owned |= strays.owned_names(cluster=cluster)
    ready = strays.note_strays(cluster=cluster, names=ours - owned, now=moment)
    failpoint("instances.sweep.noted")
    return [name for name in ready if _remove(cluster, driver, name, moment)]


def _remove(cluster: Cluster, driver: ComputeDriver, name: str, now: datetime) -> bool:
    try:
        driver.delete(name)
    except DriverError as error:
        log.warning("stray_stays", cluster=cluster.pk, machine=name, error=error.detail)
        return False
    strays.note_removed(cluster=cluster, name=name, now=now)
    log.info("stray_removed", cluster=cluster.pk, machine=name)
    return True


@dataclass(slots=True)
class Look:
    """What a look at the running machines of a cluster brought."""

    seen: dict[str, Counters] = field(default_factory=dict)
    proven: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)


def watch_clusters(*, now: datetime | None = None) -> None:
    """Measure every running machine: a counter is also proof that it runs."""
    rows = Instance.objects.filter(state=State.RUNNING, desired=Desired.RUNNING).order_by("cluster_id", "pk")
    by_cluster: dict[str, list[Instance]] = {}
    for row in rows.only("pk", "cluster_id", "team_id", "region_id"):
        by_cluster.setdefault(row.cluster_id, []).append(row)
    for cluster_id, instances in by_cluster.items():
        moment = now or db_now()
        look = _look_at(cluster_id, instances)
        watching.record_samples(seen=look.seen, instances=instances, now=moment)
        watching.note_proofs(ids=[*look.seen, *look.proven], now=moment)
        watching.note_missed(ids=look.missed, now=moment)
        watching.look_again(ids=look.changed)


def _look_at(cluster_id: str, instances: Iterable[Instance]) -> Look:
    look, failures = Look(), 0
    try:
        driver = driver_of(cluster_of(cluster_id))
    except DriverError:
        look.missed = [str(row.pk) for row in instances]
        return look
    for row in instances:
        if failures >= ENOUGH_FAILURES:
            look.missed.append(str(row.pk))
            continue
        try:
            _measure(driver, row, look)
            failures = 0
        except Transient:
            look.missed.append(str(row.pk))
            failures += 1
        except DriverError:
            look.changed.append(str(row.pk))
    return look


def _measure(driver: ComputeDriver, row: Instance, look: Look) -> None:
    pk = str(row.pk)
    if isinstance(driver, HasMetrics):
        counters = driver.counters(row.machine_name)
        if counters is None:
            look.changed.append(pk)
        else:
            look.seen[pk] = counters
        return
    seen = driver.observe(row.machine_name)
    (look.proven if seen and seen.power == Power.RUNNING else look.changed).append(pk)


def clear_draining() -> int:
    """Wish machines away from nodes that are being drained, as long as any are left there."""
    draining = Node.objects.filter(state=NodeState.DRAINING)
    busy = Instance.objects.filter(node__in=draining, state=State.RUNNING, desired=Desired.RUNNING)
    nodes = sorted(set(busy.values_list("node_id", flat=True)))
    return sum(wishes.clear_node(actor=SYSTEM, node_id=node) for node in nodes)
