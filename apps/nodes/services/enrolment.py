"""A node enters by observable steps. Each is proven: by the inventory of its cluster, or by its own agent."""

from datetime import timedelta

from django.db import transaction
from django.utils.translation import gettext as _

from apps.core.actor import SYSTEM, Actor
from apps.core.permissions import Permission
from apps.core.queue import enqueue
from apps.nodes.models import Node
from apps.nodes.services.life import change, locked, target_of
from apps.nodes.specs import Facts
from apps.nodes.states import State
from apps.operations import services as operations
from apps.operations.models import Operation
from apps.operations.specs import OperationPlan, StepPlan
from apps.operations.states import Plane
from apps.regions.states import AGENTS

DEADLINE = timedelta(minutes=10)
# A person has to paste a command somewhere.
AGENT_DEADLINE = timedelta(hours=1)

_STEPS = (
    StepPlan("test", Plane.CLUSTER),
    StepPlan("initialize", Plane.CLUSTER),
    StepPlan("join", Plane.ADMIN),
)


def _agent_steps(*, has_key: bool) -> tuple[StepPlan, ...]:
    return (
        StepPlan("add", Plane.ADMIN, is_done=True),
        StepPlan("keys", Plane.CLUSTER, is_done=has_key),
        *_STEPS,
        StepPlan("scan", Plane.CLUSTER),
        StepPlan("pool", Plane.ADMIN),
    )


@transaction.atomic
def enrol_node(*, actor: Actor, node: Node) -> Operation:
    """Take a node that its cluster or its agent reports into service, step by step; a retired one may return.

    After a failure this is the retry: what was reached before counts.
    """
    actor.require(Permission.NODE_ENROL, node.region.scope)
    node = locked(node)
    if node.state == State.RETIRED:
        node = change(actor=actor, node=node, event="return", note="")
    elif node.state in (State.TESTING, State.INITIALIZING):
        node = change(actor=actor, node=node, event="retry", note="")
    return begin(actor=actor, node=node)


def begin(*, actor: Actor, node: Node) -> Operation:
    """Open the timeline of a locked, enrolling node."""
    is_agents = node.cluster.kind == AGENTS
    has_key = is_agents and node.credentials.good().exists()
    steps = _agent_steps(has_key=has_key) if is_agents else _STEPS
    deadline = AGENT_DEADLINE if is_agents else DEADLINE
    plan = OperationPlan("node.enrol", steps, deadline=deadline)
    operation = operations.open_operation(actor=actor, target=target_of(node), plan=plan)
    node.operation_id = operation.pk
    if is_agents:
        node.save(update_fields=["operation_id"])
        operations.advance(operation_id=operation.pk, step="test" if has_key else "keys")
        return operation
    change(actor=actor, node=node, event="test", note="")
    operations.advance(operation_id=operation.pk, step="test")
    enqueue("nodes.sync_cluster", cluster_id=str(node.cluster_id))
    return operation


def reached(*, node: Node, step: str, detail: str = "") -> None:
    """The next step of the node's timeline begins, if there is one."""
    if node.operation_id:
        operations.advance(operation_id=node.operation_id, step=step, detail=detail)


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
        node = change(actor=actor, node=node, event="initialize", note="")
        reached(node=node, step="initialize", detail=_size(node))
    node.operation_id = None
    change(actor=actor, node=node, event="join", note="")
    if operation:
        operations.advance(operation_id=operation, step="join")
        operations.finish(operation_id=operation)
    return True


def advance_by_agent(*, node: Node, facts: Facts | None, cards: tuple[int, int]) -> Node:
    """What a heartbeat proves of a locked, entering node: the connection, then the host, then its cards.

    `cards` are how many it has and how many of them are in a pool.
    """
    if node.operation_id is None or node.state not in (State.ENROLLING, State.TESTING, State.INITIALIZING):
        return node
    if node.state == State.ENROLLING:
        node = change(actor=SYSTEM, node=node, event="test", note="")
    if facts is None:
        return node
    if facts.failing:
        fail_enrolment(node_id=node.pk, message=" ".join(facts.failing))
        return Node.objects.get(pk=node.pk)
    operation = str(node.operation_id)
    if node.state == State.TESTING:
        node = change(actor=SYSTEM, node=node, event="initialize", note="")
        reached(node=node, step="initialize", detail=_size(node))
    node.operation_id = None
    node = change(actor=SYSTEM, node=node, event="join", note="")
    operations.advance(operation_id=operation, step="join")
    operations.advance(operation_id=operation, step="scan", detail=_found(cards[0]))
    operations.advance(operation_id=operation, step="pool", detail=_pooled(*cards))
    operations.finish(operation_id=operation)
    return node


@transaction.atomic
def fail_enrolment(*, actor: Actor = SYSTEM, node_id: str, message: str) -> None:
    """Past the deadline or found wanting: the node is back where it began and may be tried again."""
    actor.require(Permission.NODE_ENROL)
    node = Node.objects.select_for_update(of=("self",), no_key=True).get(pk=node_id)
    operation, node.operation_id = node.operation_id, None
    if node.state in (State.TESTING, State.INITIALIZING):
        change(actor=actor, node=node, event="retry", note=message[:300])
    else:
        node.save(update_fields=["operation_id"])
    if operation:
        operations.fail(
            operation_id=operation,
            code="enrolment_failed",
            message=message,
            undone=_("The node is as before."),
        )


def _size(node: Node) -> str:
    return _("%(vcpus)s vCPUs, %(memory)s GiB of memory.") % {
        "vcpus": node.vcpus,
        "memory": node.memory_mib // 1024,
    }


def _found(cards: int) -> str:
    return _("%(n)s GPUs.") % {"n": cards} if cards else _("No GPU.")


def _pooled(cards: int, pooled: int) -> str:
    if cards == pooled:
        return _("Nothing waits for a pool.") if not cards else _("All in a pool.")
    return _("%(n)s GPUs wait to be put into a pool.") % {"n": cards - pooled}
