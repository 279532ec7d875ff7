"""What endpoints hear from below. What must not run under the sender's locks waits for its commit."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import transaction
from django.dispatch import receiver
from django.utils.translation import gettext as _

from apps.billing.signals import headroom_lost
from apps.core.actor import Actor
from apps.core.errors import Conflict
from apps.inference.models import Endpoint, Replica
from apps.inference.selectors import reading
from apps.inference.services import endpoints, replicas, rollouts
from apps.nodes.models import Node
from apps.nodes.signals import agent_reported, drain_requested, engines_asked, notice_given, occupants_asked
from apps.nodes.specs import EngineAt, Occupant, Report
from apps.operations.models import Operation
from apps.operations.signals import cancel_requested
from apps.regions.errors import ClusterInUse
from apps.regions.models import Cluster
from apps.regions.signals import cluster_retiring
from apps.registry.signals import users_asked, version_revoked
from apps.teams.models import Team
from apps.teams.signals import team_closed

FRESH = timedelta(seconds=30)  # what a journal tells of earlier proves nothing about now


@receiver(headroom_lost)
def rest_unpaid(*, resource_id: str, budget: str = "", **_kwargs: Any) -> None:
    if resource_id.startswith("rep_"):
        replicas.rest_unpaid(replica_id=resource_id, budget=budget)


@receiver(cancel_requested)
def call_off(*, operation: Operation, actor: Actor, **_kwargs: Any) -> None:
    if operation.target_type == "endpoint":
        rollouts.call_off(actor=actor, operation=operation)


@receiver(team_closed, dispatch_uid="inference.closed")
def keep_serving_team(*, team: Team, **_kwargs: Any) -> None:
    if Endpoint.objects.live().filter(team=team).exists():
        raise Conflict(_("The team has endpoints; delete them first."), code="team_in_use")


@receiver(cluster_retiring)
def keep_serving_cluster(*, cluster: Cluster, **_kwargs: Any) -> None:
    if Replica.objects.present().filter(cluster=cluster).exists():
        raise ClusterInUse(_("Engines still run there."))


@receiver(version_revoked)
def drain_revoked(*, version_id: str, **_kwargs: Any) -> None:
    transaction.on_commit(partial(endpoints.mark_revoked, version_id=version_id))


@receiver(users_asked)
def name_users(*, version_id: str, **_kwargs: Any) -> list[str]:
    return reading.names_serving(version_id=version_id)


@receiver(notice_given)
def leave_doomed_node(*, node_id: str, **_kwargs: Any) -> None:
    transaction.on_commit(partial(replicas.leave_node, node_id=node_id))


@receiver(drain_requested)
def leave_drained_node(*, node: Node, **_kwargs: Any) -> None:
    transaction.on_commit(partial(replicas.leave_node, node_id=str(node.pk)))


@receiver(occupants_asked)
def name_occupants(*, node: Node, **_kwargs: Any) -> list[Occupant]:
    return reading.occupants(node=node)


@receiver(engines_asked)
def name_engines(*, node: Node, **_kwargs: Any) -> list[EngineAt]:
    return reading.engines_on(node=node)


@receiver(agent_reported)
def heed_readings(*, node: Node, now: datetime, report: Report, **_kwargs: Any) -> None:
    last = max(report.samples, key=lambda one: one.at, default=None)
    if last is not None and last.engines and abs(report.sent_at - last.at) < FRESH:  # by the host's clock
        replicas.note_readings(node_id=str(node.pk), readings=last.engines, now=now)
