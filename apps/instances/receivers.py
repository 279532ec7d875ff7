"""What instances hear from below. What must not run under the sender's locks waits for its commit;
the sweeps find again whatever is lost in between."""

from functools import partial
from typing import Any

from django.db import transaction
from django.dispatch import receiver
from django.utils.translation import gettext as _

from apps.billing.signals import headroom_lost
from apps.core.actor import Actor
from apps.core.errors import Conflict
from apps.instances import selectors, services
from apps.instances.models import Instance
from apps.instances.services import watching
from apps.instances.states import State
from apps.nodes.models import Node
from apps.nodes.signals import drain_requested, node_lost, occupants_asked
from apps.nodes.specs import Occupant
from apps.operations.models import Operation
from apps.operations.signals import cancel_requested
from apps.teams.models import Team
from apps.teams.signals import team_closed


@receiver(headroom_lost)
def stop_unpaid(*, resource_id: str, budget: str = "", **_kwargs: Any) -> None:
    if resource_id.startswith("ins_"):
        services.halt_unpaid(instance_id=resource_id, budget=budget)


@receiver(cancel_requested)
def call_off(*, operation: Operation, actor: Actor, **_kwargs: Any) -> None:
    if operation.target_type == "instance":
        services.call_off(actor=actor, operation=operation)


@receiver(team_closed, dispatch_uid="instances.closed")
def keep_occupied_team(*, team: Team, **_kwargs: Any) -> None:
    if Instance.objects.live().filter(team=team).exists():
        raise Conflict(_("The team has instances; delete them first."), code="team_in_use")


@receiver(drain_requested)
def clear_node(*, node: Node, actor: Actor, **_kwargs: Any) -> None:
    transaction.on_commit(partial(services.clear_node, actor=actor, node_id=node.pk))


@receiver(occupants_asked)
def name_occupants(*, node: Node, **_kwargs: Any) -> list[Occupant]:
    return selectors.occupants(node=node)


@receiver(node_lost)
def stop_meters(*, node_id: str, last_seen_at: Any, **_kwargs: Any) -> None:
    running = Instance.objects.filter(node_id=node_id, state=State.RUNNING).order_by("pk")
    for pk in list(running.values_list("pk", flat=True)):
        lost = partial(watching.mark_unreachable, instance_id=str(pk), last_seen_at=last_seen_at)
        transaction.on_commit(lost)
