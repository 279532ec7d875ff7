"""A node enters by observable steps: connection test, init, join. Each is proven by the inventory."""

from datetime import timedelta

from django.db import transaction
from django.utils.translation import gettext as _

from apps.core.actor import SYSTEM, Actor
from apps.core.permissions import Permission
from apps.core.queue import enqueue
from apps.nodes.models import Node
from apps.nodes.services.life import change, locked, target_of
from apps.nodes.states import State
from apps.operations import services as operations
from apps.operations.models import Operation
from apps.operations.specs import OperationPlan, StepPlan
from apps.operations.states import Plane

DEADLINE = timedelta(minutes=10)

_STEPS = (
    StepPlan("test", Plane.CLUSTER),
    StepPlan("initialize", Plane.CLUSTER),
    StepPlan("join", Plane.ADMIN),
)


@transaction.atomic
def enrol_node(*, actor: Actor, node: Node) -> Operation:
    """Take a node that its cluster reports into service, step by step; a retired one may return."""
    actor.require(Permission.NODE_ENROL, node.region.scope)
    node = locked(node)
    if node.state == State.RETIRED:
        node = change(actor=actor, node=node, event="return", note="")
    elif node.state in (State.TESTING, State.INITIALIZING):
        node = change(actor=actor, node=node, event="retry", note="")
    operation = operations.open_operation(
        actor=actor, target=target_of(node), plan=OperationPlan("node.enrol", _STEPS, deadline=DEADLINE)
    )
    node.operation_id = operation.pk
    change(actor=actor, node=node, event="test", note="")
    operations.advance(operation_id=operation.pk, step="test")
    enqueue("nodes.sync_cluster", cluster_id=str(node.cluster_id))
    return operation


@transaction.atomic
def advance_enrolment(*, actor: Actor = SYSTEM, node_id: str) -> bool:
    """The inventory shows the node: take the steps that this proves; True when it is ready."""
    actor.require(Permission.NODE_ENROL)
    node = Node.objects.select_for_update(of=("self",), no_key=True).get(pk=node_id)
    if node.state not in (State.TESTING, State.INITIALIZING):
        return False
    if not (node.vcpus and node.memory_mib):
        return False
    operation = node.operation_id
    if node.state == State.TESTING:
        detail = _("%(vcpus)s vCPUs, %(memory)s GiB of memory.") % {
            "vcpus": node.vcpus,
            "memory": node.memory_mib // 1024,
        }
        node = change(actor=actor, node=node, event="initialize", note="")
        if operation:
            operations.advance(operation_id=operation, step="initialize", detail=detail)
    node.operation_id = None
    change(actor=actor, node=node, event="join", note="")
    if operation:
        operations.advance(operation_id=operation, step="join")
        operations.finish(operation_id=operation)
    return True


@transaction.atomic
def fail_enrolment(*, actor: Actor = SYSTEM, node_id: str, message: str) -> None:
    """Past the deadline: the node is back where it began and may be tried again."""
    actor.require(Permission.NODE_ENROL)
    node = Node.objects.select_for_update(of=("self",), no_key=True).get(pk=node_id)
    operation, node.operation_id = node.operation_id, None
    if node.state in (State.TESTING, State.INITIALIZING):
        change(actor=actor, node=node, event="retry", note=message[:300])
    if operation:
        operations.fail(
            operation_id=operation,
            code="enrolment_failed",
            message=message,
            undone=_("The node is as before."),
        )
