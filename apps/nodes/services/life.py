"""Staff take nodes out of service and back: cordon, drain, maintenance, retirement."""

from collections.abc import Sequence
from datetime import timedelta

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.core.actor import SYSTEM, Actor
from apps.core.errors import Invalid
from apps.core.permissions import Permission
from apps.core.queue import enqueue
from apps.nodes.errors import NodeOccupied
from apps.nodes.models import Node
from apps.nodes.selectors import occupants_of
from apps.nodes.signals import drain_requested
from apps.nodes.specs import Occupant
from apps.nodes.states import MACHINE, State
from apps.operations import services as operations
from apps.operations.models import Operation
from apps.operations.specs import OperationPlan, StepPlan, Target
from apps.operations.states import Plane

DRAIN_DEADLINE = timedelta(hours=24)
MOST_NAMED = 10


@transaction.atomic
def cordon_node(*, actor: Actor, node: Node, reason: str = "") -> Node:
    """Place nothing new on the node; what runs there goes on."""
    actor.require(Permission.NODE_CORDON, node.region.scope)
    return change(actor=actor, node=locked(node), event="cordon", note=_note(reason))


@transaction.atomic
def uncordon_node(*, actor: Actor, node: Node) -> Node:
    """Take the node into service again; a drain that is under way is called off."""
    actor.require(Permission.NODE_CORDON, node.region.scope)
    node = locked(node)
    if node.operation_id and node.state == State.DRAINING:
        operations.cancel(operation_id=node.operation_id, message=_("The node was taken back into service."))
        node.operation_id = None
    return change(actor=actor, node=node, event="uncordon", note="")


@transaction.atomic
def drain_node(*, actor: Actor, node: Node, reason: str = "") -> Operation:
    """Cordon the node and wish its machines away; it goes into maintenance when none runs there any more.

    No driver moves disks between hosts: a machine that is switched off stays where its disk is, keeps its
    place, and can be started again once the node is back in service.
    """
    actor.require(Permission.NODE_DRAIN, node.region.scope)
    node = locked(node)
    MACHINE.target("drain", node.state)
    operation = operations.open_operation(
        actor=actor, target=target_of(node), plan=OperationPlan("node.drain", _DRAIN, deadline=DRAIN_DEADLINE)
    )
    node.operation_id = operation.pk
    node = change(actor=actor, node=node, event="drain", note=_note(reason))
    operations.advance(operation_id=operation.pk, step="move")
    drain_requested.send(Node, node=node, actor=actor, operation_id=operation.pk)
    enqueue("nodes.finish_drains")
    return operation


_DRAIN = (
    StepPlan("cordon", Plane.ADMIN),
    StepPlan("move", Plane.CLUSTER),
    StepPlan("maintain", Plane.CLUSTER),
)


@transaction.atomic
def finish_drain(*, actor: Actor = SYSTEM, node_id: str) -> bool:
    """End the drain of a node on which nothing runs; False while something does."""
    actor.require(Permission.NODE_DRAIN)
    node = Node.objects.select_for_update(of=("self",), no_key=True).get(pk=node_id)
    left = occupants_of(node) if node.state == State.DRAINING else []
    if node.state != State.DRAINING or not _rests(node, left):
        return False
    operation, node.operation_id = node.operation_id, None
    change(actor=actor, node=node, event="maintain", note=node.note)
    if operation:
        operations.advance(operation_id=operation, step="maintain", detail=_who_stays(left))
        operations.finish(operation_id=operation)
    return True


def _rests(node: Node, left: Sequence[Occupant]) -> bool:
    """Whether all that holds capacity of the node is known to be switched off."""
    return all(one.is_resting for one in left) and node.vcpus_used == sum(one.vcpus for one in left)


def _who_stays(left: Sequence[Occupant]) -> str:
    if not left:
        return ""
    names = ", ".join(one.name for one in left[:MOST_NAMED]) + (", …" if len(left) > MOST_NAMED else "")
    return _("Switched off, with their disks here: %(names)s.") % {"names": names}


@transaction.atomic
def maintain_node(*, actor: Actor, node: Node, reason: str = "") -> Node:
    """Put an empty, cordoned node into maintenance."""
    actor.require(Permission.NODE_MANAGE, node.region.scope)
    node = locked(node)
    refuse_occupied(node)
    return change(actor=actor, node=node, event="maintain", note=_note(reason))


@transaction.atomic
def retire_node(*, actor: Actor, node: Node) -> Node:
    """Take an empty node out of the fleet; its history stays."""
    actor.require(Permission.NODE_MANAGE, node.region.scope)
    node = locked(node)
    refuse_occupied(node)
    return change(actor=actor, node=node, event="retire", note="")


@transaction.atomic
def annotate_node(*, actor: Actor, node: Node, note: str) -> Node:
    """Leave a note for the colleagues."""
    actor.require(Permission.NODE_MANAGE, node.region.scope)
    node = locked(node)
    node.note = _note(note)
    node.save(update_fields=["note"])
    audit.record(actor=actor, action="node.annotated", target=node, note=node.note)
    return node


def change(*, actor: Actor, node: Node, event: str, note: str) -> Node:
    """Move a locked node along its life, with the record and the news of it."""
    before = node.state
    node.state, node.note = MACHINE.target(event, node.state), note
    node.state_changed_at = Now()
    node.save(update_fields=["state", "note", "operation_id", "state_changed_at"])
    node.refresh_from_db()
    audit.record(actor=actor, action=f"node.{event}", target=node, before=before, note=note)
    operations.emit(
        type=f"node.{node.state}",
        subject=node.pk,
        region_id=node.region_id,
        data={"name": node.name, "before": before},
    )
    return node


def locked(node: Node) -> Node:
    found: Node = Node.objects.select_for_update(of=("self",), no_key=True).get(pk=node.pk)
    return found


def is_occupied(node: Node) -> bool:
    """Something still has capacity of it; a machine lets go only when it is proven gone."""
    return bool(node.vcpus_used or node.memory_mib_used or node.disk_gib_used)


def refuse_occupied(node: Node) -> None:
    if is_occupied(node):
        raise NodeOccupied(_("Machines are still on %(name)s; drain it first.") % {"name": node.name})


def target_of(node: Node) -> Target:
    return Target("node", node.pk, node.name, region_id=node.region_id)


def _note(text: str) -> str:
    text = " ".join(text.split())
    if len(text) > 300:
        raise Invalid(_("A note has at most 300 characters."), field="reason")
    return text
