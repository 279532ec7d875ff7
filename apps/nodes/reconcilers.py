"""The inventory of a cluster, read every few seconds: hosts, cards, health, and steps that wait for it."""

from datetime import timedelta
from typing import Any

import structlog
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from apps.core.actor import SYSTEM
from apps.core.clock import db_now
from apps.core.leases import LeaseLost, claim, release
from apps.drivers.base import HasInventory, Inventory
from apps.drivers.errors import DriverError
from apps.nodes import services
from apps.nodes.models import Node
from apps.nodes.services.enrolment import DEADLINE
from apps.nodes.states import State
from apps.operations.models import Operation
from apps.regions import services as regions
from apps.regions.models import Cluster
from apps.regions.reconcilers import any_driver_of
from apps.regions.states import AGENTS

log = structlog.get_logger(__name__)

EVERY = timedelta(seconds=10)
LEASE = timedelta(seconds=60)


def sync_due() -> int:
    """Read the inventory of every cluster that is due; returns how many were read."""
    free = Q(lease_until=None) | Q(lease_until__lt=Now())
    due = Cluster.objects.live().filter(free, due_at__lte=Now()).order_by("due_at")
    return sum(sync_cluster(cluster_id=pk) for pk in list(due.values_list("pk", flat=True)))


def sync_cluster(*, cluster_id: str) -> bool:
    """One look at a cluster; False when somebody else is looking. No transaction is open meanwhile."""
    token = claim(Cluster, cluster_id, ttl=LEASE)
    if token is None:
        return False
    cluster = Cluster.objects.get(pk=cluster_id)
    found = _look(cluster)
    now = db_now()
    cluster.refresh_from_db(fields=["watched_since", "last_tried_at", "auto_enrol"])
    if found is not None:
        services.record_inventory(cluster=cluster, nodes=found.nodes, now=now, is_complete=found.is_complete)
        _enrol(cluster)
    services.judge(cluster=cluster, now=now)
    try:
        release(cluster, token, due_in=EVERY)
    except LeaseLost:
        log.warning("inventory_lease_lost", cluster=cluster_id)
    return True


def _look(cluster: Cluster) -> Inventory | None:
    """What the cluster reports; None, noted, when it does not answer. An incomplete answer counts for
    what it shows: nothing follows from what it leaves out."""
    try:
        driver = any_driver_of(cluster)
        version = driver.check().version
        found = driver.inventory() if isinstance(driver, HasInventory) else Inventory(())
    except DriverError as error:
        log.warning("inventory_failed", cluster=cluster.pk, error=error.detail)
        regions.note_unseen(cluster_id=cluster.pk, now=db_now(), problem=str(error))
        return None
    regions.note_seen(cluster_id=cluster.pk, now=db_now(), version=version)
    return found


def _enrol(cluster: Cluster) -> None:
    """Take waiting nodes a step further; begin with new ones where the cluster says so. Hosts with an agent
    take their steps themselves and can only be late."""
    nodes = Node.objects.filter(cluster=cluster)
    if cluster.kind == AGENTS:
        _give_up(_overdue(nodes), _("The agent did not get this far in time."))
        return
    if cluster.auto_enrol:
        for node in nodes.filter(state=State.ENROLLING, operation_id=None).select_related("region"):
            services.enrol_node(actor=SYSTEM, node=node)
    seen = Q(last_seen_at__gte=cluster.last_tried_at) if cluster.last_tried_at else Q()
    waiting = nodes.filter(state__in=(State.TESTING, State.INITIALIZING))
    for pk in list(waiting.filter(seen).values_list("pk", flat=True)):
        services.advance_enrolment(node_id=pk)
    late = waiting.exclude(seen).filter(state_changed_at__lt=db_now() - DEADLINE)
    _give_up(late, _("The cluster does not report the node."))


def _overdue(nodes: QuerySet[Any]) -> QuerySet[Any]:
    entering = nodes.filter(state__in=(State.ENROLLING, State.TESTING, State.INITIALIZING))
    over = Operation.objects.filter(deadline_at__lt=Now()).values("pk")
    return entering.filter(operation_id__in=over)


def _give_up(late: QuerySet[Any], message: str) -> None:
    for pk in list(late.values_list("pk", flat=True)):
        services.fail_enrolment(node_id=pk, message=message)


def finish_drains() -> int:
    """End the drains of nodes on which nothing runs any more."""
    draining = Node.objects.filter(state=State.DRAINING)
    return sum(services.finish_drain(node_id=pk) for pk in list(draining.values_list("pk", flat=True)))


def forget_samples() -> int:
    """Let go of what agents measured long ago."""
    return services.prune_samples()
