"""Whole clusters at once: engines that are nobody's, and serving ones that are watched."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from django.conf import settings
from django.db.models import Q

from apps.core.clock import db_now
from apps.core.failpoints import failpoint
from apps.drivers.engines import SERVING_KINDS, CanServe, Phase
from apps.drivers.errors import DriverError
from apps.inference.models import Replica, Revision
from apps.inference.services import endpoints
from apps.inference.services import replicas as services
from apps.inference.states import ReplicaState
from apps.instances.services import strays
from apps.nodes.states import State as NodeState
from apps.regions.models import Cluster
from apps.regions.reconcilers import cluster_of, engines_of
from apps.registry.states import State as VersionState

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Look:
    """What a look at the serving engines of a cluster brought."""

    seen: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    noticed: list[str] = field(default_factory=list)


def watch_replicas(*, now: datetime | None = None) -> None:
    """Ask every engine that serves how it is; one that answers is proven to run."""
    rows = Replica.objects.filter(
        state__in=(ReplicaState.READY, ReplicaState.UNHEALTHY), cluster__isnull=False
    )
    by_cluster: dict[str, list[Replica]] = {}
    for row in rows.filter(region__frozen_at=None).only("pk", "cluster_id", "state").order_by("pk"):
        by_cluster.setdefault(str(row.cluster_id), []).append(row)
    for cluster_id, members in by_cluster.items():
        look, moment = _look_at(cluster_id, members), now or db_now()
        services.note_seen(ids=look.seen, now=moment)
        services.note_missed(ids=look.missed, now=moment)
        services.look_again(ids=look.changed)
        for pk in look.noticed:
            services.note_notice(replica_id=pk, now=moment)


def watch_providers() -> None:
    """External providers that serve are looked at again, each by a pass of its own."""
    rows = Replica.objects.external().filter(state=ReplicaState.READY, region__frozen_at=None)
    services.look_again(ids=rows.values_list("pk", flat=True))


def catch_up() -> None:
    """What was told after a commit to which a process that had died then was to listen: versions that were
    revoked, nodes that are drained."""
    revoked = Revision.objects.filter(is_revoked=False, version__state=VersionState.REVOKED)
    for version_id in sorted(set(revoked.values_list("version_id", flat=True))):
        endpoints.mark_revoked(version_id=version_id)
    staying = Replica.objects.live().filter(noticed_at=None, node__state=NodeState.DRAINING)
    for node_id in sorted(set(staying.values_list("node_id", flat=True))):
        services.leave_node(node_id=node_id)


def _look_at(cluster_id: str, members: Iterable[Replica]) -> Look:
    look = Look()
    try:
        driver = engines_of(cluster_of(cluster_id))
    except DriverError:
        look.missed = [str(row.pk) for row in members]
        return look
    for row in members:
        _ask(driver, row, look)
    return look


def _ask(driver: CanServe, row: Replica, look: Look) -> None:
    pk = str(row.pk)
    try:
        seen = driver.observe_engine(row.engine_name)
    except DriverError:
        look.missed.append(pk)
        return
    if seen is not None and seen.is_noticed:
        look.noticed.append(pk)
    if seen is None or seen.is_reclaimed or seen.phase == Phase.EXITED:
        look.changed.append(pk)
    elif seen.phase == Phase.SERVING:
        (look.seen if row.state == ReplicaState.READY else look.changed).append(pk)
    else:
        look.missed.append(pk)


def sweep_clusters(*, now: datetime | None = None) -> list[str]:
    """Look for stray engines in every cluster of every region that is not frozen; returns the removed."""
    clusters = Cluster.objects.live().filter(region__frozen_at=None, kind__in=SERVING_KINDS).order_by("pk")
    return [name for pk in list(clusters.values_list("pk", flat=True)) for name in _sweep(pk, now)]


def _sweep(cluster_id: str, now: datetime | None) -> list[str]:
    """Remove what was nobody's in two listings at least five minutes apart.

    A listing that fails, is incomplete or is empty ends the pass: nothing may be concluded from it.
    """
    cluster = cluster_of(cluster_id)
    owned = _owned(cluster)  # read first: what is launched meanwhile is owned later
    try:
        driver = engines_of(cluster)
        listing = driver.list_engines()
    except DriverError as error:
        log.warning("listing_failed", cluster=cluster_id, error=error.detail)
        return []
    if not listing.is_complete or not listing.machines:
        return []
    ours = {ref.name for ref in listing.machines if ref.installation == settings.INSTALLATION_ID}
    moment = now or db_now()
    nobodys = {name for name in ours - owned - _owned(cluster) if name.startswith(strays.ENGINES)}
    ready = strays.note_strays(cluster=cluster, names=nobodys, now=moment, are_engines=True)
    failpoint("inference.sweep.noted")
    return [name for name in ready if _remove(cluster, driver, name, moment)]


def _owned(cluster: Cluster) -> set[str]:
    """The names of all engines that may be on the cluster by right."""
    rows = Replica.objects.filter(Q(released_at=None), cluster=cluster)
    return {row.engine_name for row in rows.only("pk")}


def _remove(cluster: Cluster, driver: CanServe, name: str, now: datetime) -> bool:
    try:
        driver.delete_engine(name)
    except DriverError as error:
        log.warning("stray_stays", cluster=cluster.pk, engine=name, error=error.detail)
        return False
    strays.note_removed(cluster=cluster, name=name, now=now)
    log.info("stray_removed", cluster=cluster.pk, engine=name)
    return True
