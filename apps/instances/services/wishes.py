"""What people wish of their instances. A wish is written and accepted; a reconciler brings it about."""

from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.billing.services import charging
from apps.core import tenancy
from apps.core.actor import SYSTEM, Actor, region_scope, team_scope
from apps.core.clock import db_now
from apps.core.errors import Invalid, NotFound, Unavailable
from apps.core.failpoints import failpoint
from apps.core.permissions import Permission
from apps.core.queue import enqueue
from apps.instances.errors import Busy, NameTaken, WrongState
from apps.instances.models import Instance
from apps.instances.services.work import drop_work
from apps.instances.specs import DELETE, NAME, REBOOT, START, STOP
from apps.instances.states import Desired, State, Work
from apps.nodes.states import State as NodeState
from apps.operations import services as operations
from apps.operations.models import Operation
from apps.operations.specs import OperationPlan, Target

RECONCILE = "instances.reconcile"
UNDER_MAINTENANCE = frozenset({NodeState.DRAINING, NodeState.MAINTENANCE, NodeState.RETIRED})


@transaction.atomic
def stop_instance(*, actor: Actor, instance_id: str) -> Instance:
    """Switch it off: the guest is asked first, its power is cut when it does not listen."""
    instance = lock(actor=actor, instance_id=instance_id, permission=Permission.INSTANCE_OPERATE)
    be_idle(instance, State.RUNNING)
    return begin(
        actor=actor, instance=instance, plan=STOP, action="instance.stopped", desired=Desired.STOPPED
    )


@transaction.atomic
def start_instance(*, actor: Actor, instance_id: str) -> Instance:
    """Switch it on again, where it was; its place was kept. Raises NoHeadroom when it cannot be paid."""
    instance = lock(actor=actor, instance_id=instance_id, permission=Permission.INSTANCE_OPERATE)
    be_idle(instance, State.STOPPED)
    if instance.node.state in UNDER_MAINTENANCE:
        message = _("Its host is under maintenance; it can be started when the host is back.")
        raise Unavailable(message, code="host_under_maintenance", retry_after=300)
    require_headroom(instance)
    return begin(
        actor=actor,
        instance=instance,
        plan=START,
        action="instance.started",
        desired=Desired.RUNNING,
        message="",
    )


@transaction.atomic
def reboot_instance(*, actor: Actor, instance_id: str) -> Instance:
    """Restart it; it keeps its address and is charged throughout."""
    instance = lock(actor=actor, instance_id=instance_id, permission=Permission.INSTANCE_OPERATE)
    be_idle(instance, State.RUNNING)
    return begin(actor=actor, instance=instance, plan=REBOOT, action="instance.rebooted", work=Work.REBOOT)


@transaction.atomic
def delete_instance(*, actor: Actor, instance_id: str) -> Instance:
    """Remove it for good, whatever it is doing: a deletion overtakes everything else."""
    instance = lock(actor=actor, instance_id=instance_id, permission=Permission.INSTANCE_DELETE)
    if instance.desired == Desired.DELETED:
        return instance
    overtake(instance, _("The instance was deleted."))
    return begin(
        actor=actor, instance=instance, plan=DELETE, action="instance.deleted", desired=Desired.DELETED
    )


@transaction.atomic
def rename_instance(*, actor: Actor, instance_id: str, name: str) -> Instance:
    """Give it another name; the machine's own host name stays until it is rebuilt."""
    instance = lock(actor=actor, instance_id=instance_id, permission=Permission.INSTANCE_UPDATE)
    check_name(name)
    if instance.is_ended:
        raise WrongState(_("It is %(state)s.") % {"state": instance.get_state_display().lower()})
    before = instance.name
    try:
        with transaction.atomic():
            Instance.objects.filter(pk=instance.pk).update(name=name)
    except IntegrityError as error:
        raise NameTaken(_("Another instance in this workspace has this name."), field="name") from error
    instance.name = name
    audit.record(actor=actor, action="instance.renamed", target=instance, before=before)
    operations.emit(
        type="instance.renamed",
        subject=str(instance.pk),
        team_id=instance.team_id,
        region_id=instance.region_id,
        workspace_id=instance.workspace_id,
        data={"name": name, "state": str(instance.state)},
    )
    return instance


@transaction.atomic
def halt_unpaid(*, instance_id: str, budget: str = "") -> None:
    """Switch off what its team cannot pay for any longer, or what a budget of the team stops."""
    instance = Instance.objects.select_for_update(of=("self",)).filter(pk=instance_id).first()
    if instance is None or instance.desired != Desired.RUNNING or instance.state != State.RUNNING:
        return
    message = _("Stopped because the balance ran out.")
    if budget:
        message = _("Stopped because the budget “%(name)s” is used up.") % {"name": budget}
    _wish_off(SYSTEM, instance, message, "instance.stopped_unpaid")


@transaction.atomic
def clear_node(*, actor: Actor, node_id: str) -> int:
    """Switch off everything that runs on a node that is drained; returns how many machines that is.

    The drain's own permission was checked by who drains.
    """
    rows = Instance.objects.select_for_update(of=("self",)).filter(node_id=node_id)
    running = rows.placed().filter(state=State.RUNNING, desired=Desired.RUNNING).order_by("pk")
    message = _("Stopped for maintenance of its host.")
    for instance in running:
        _wish_off(actor, instance, message, "instance.stopped_for_drain")
    return len(running)


@transaction.atomic
def call_off(*, actor: Actor, operation: Operation) -> None:
    """End a launch or a start that its owner no longer wants; what was made is undone."""
    instance = Instance.objects.select_for_update(of=("self",)).filter(pk=operation.target_id).first()
    if instance is None or instance.operation_id != operation.pk:
        return
    message = _("Cancelled by %(who)s.") % {"who": actor.label}
    if instance.state in (State.PENDING, State.PROVISIONING):
        overtake(instance, message)
        begin(actor=actor, instance=instance, plan=DELETE, action="instance.deleted", desired=Desired.DELETED)
    elif instance.state in (State.STOPPED, State.STARTING):
        undone = _("The machine is switched off again.")
        operations.cancel(operation_id=operation.pk, message=message, undone=undone)
        _write(instance, desired=Desired.STOPPED, operation_id=None, deadline_at=None, message=message)
        enqueue(RECONCILE, instance_id=str(instance.pk))


# ------------------------------------------------------------------ shared by all wishes


def check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        rule = _("A name has up to 63 lower-case letters, digits and dashes and begins with a letter.")
        raise Invalid(rule, field="name")


def lock(*, actor: Actor, instance_id: str, permission: Permission) -> Instance:
    """The row, locked, if the actor may see it and do this to it."""
    rows = Instance.objects.visible_to(actor).select_for_update(of=("self",))
    found = rows.select_related("type", "node").filter(pk=instance_id).first()
    if found is None:
        raise NotFound(_("There is no such instance."))
    instance: Instance = found
    actor.require(permission, team_scope(instance.team_id), region_scope(instance.region_id))
    return instance


def be_idle(instance: Instance, *states: State) -> None:
    """Raise unless the instance is in one of the states and nothing is being done to it."""
    if instance.operation_id:
        raise Busy(
            _("Something else is being done to %(name)s; wait until it is done.") % {"name": instance.name},
            operation=instance.operation_id,
        )
    if instance.state not in states or instance.desired == Desired.DELETED:
        wanted = " / ".join(str(State(one).label).lower() for one in states)
        raise WrongState(
            _("%(name)s is %(state)s; for this it must be %(wanted)s.")
            % {"name": instance.name, "state": instance.get_state_display().lower(), "wanted": wanted},
            state=str(instance.state),
        )


def begin(*, actor: Actor, instance: Instance, plan: OperationPlan, action: str, **changes: Any) -> Instance:
    """Open the operation, write the wish and tell a reconciler."""
    now = db_now()
    operation = operations.open_operation(actor=actor, target=target_of(instance), plan=plan, now=now)
    deadline = now + plan.deadline if plan.deadline else None
    _write(instance, operation_id=operation.pk, deadline_at=deadline, **changes)
    audit.record(actor=actor, action=action, target=instance, operation=str(operation.pk))
    failpoint(f"instances.wish.{plan.kind.removeprefix('instance.')}")
    enqueue(RECONCILE, instance_id=str(instance.pk))
    return instance


def target_of(instance: Instance) -> Target:
    return Target(
        "instance",
        str(instance.pk),
        instance.name,
        team_id=instance.team_id,
        workspace_id=instance.workspace_id,
        region_id=instance.region_id,
    )


def require_headroom(instance: Instance, now: datetime | None = None) -> None:
    """Raise NoHeadroom unless the team can pay for the machine to run a while.

    Whoever starts it, a region's staff for example, need not be let see the team's wallet.
    """
    with tenancy.everything():
        charging.reserve(
            team_id=instance.team_id,
            resource_id=str(instance.pk),
            rates=instance.running_rates,
            now=now or db_now(),
        )


def overtake(instance: Instance, message: str) -> None:
    """End what is under way, because something stronger begins."""
    if instance.operation_id:
        operations.cancel(operation_id=instance.operation_id, message=message)
    drop_work(instance, instance.work, instance.work_params)
    instance.operation_id = None


def _wish_off(actor: Actor, instance: Instance, message: str, action: str) -> None:
    """Have it stopped, after whatever is being done to it; a new operation only when none is open."""
    if instance.operation_id is None:
        begin(
            actor=actor, instance=instance, plan=STOP, action=action, desired=Desired.STOPPED, message=message
        )
        return
    _write(instance, desired=Desired.STOPPED, message=message)
    audit.record(actor=actor, action=action, target=instance)
    enqueue(RECONCILE, instance_id=str(instance.pk))


def _write(instance: Instance, **changes: Any) -> None:
    changes |= {"generation": instance.generation + 1, "attempts": 0}
    Instance.objects.filter(pk=instance.pk).update(due_at=Now(), **changes)
    for name, value in changes.items():
        setattr(instance, name, value)
