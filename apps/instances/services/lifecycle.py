"""What reconcilers write: each transition in one transaction with its operation, meter, capacity and event.

Lock order: the instance (its update comes first), then money, then capacity.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from apps.billing.services import charging
from apps.core import statements
from apps.core.failpoints import failpoint
from apps.core.leases import LeaseLost
from apps.drivers.base import Observed
from apps.gpupools.services import reservations
from apps.instances.models import Instance
from apps.instances.services import disks
from apps.instances.services.work import drop_work
from apps.instances.states import MACHINE, Desired, Health, State, Work
from apps.operations import services as operations
from apps.operations.specs import Happening


class WishChanged(Exception):
    """Somebody changed what is wanted since the row was read: look again before writing."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something failed; the message is for the customer, the detail for the operator."""

    code: str
    message: str
    detail: str = ""


@dataclass(slots=True)
class Turn:
    """One worker's hold of an instance: the row as read, the lease, and what it knows."""

    instance: Instance
    token: UUID
    now: datetime
    observed: Observed | None = None
    is_absent: bool = False  # the driver has shown that machine and disks are gone
    proof: dict[str, object] = field(default_factory=dict)
    reason: Reason | None = None
    broken_off: tuple[str, dict[str, Any]] = ("", {})  # the work that a transition ends, and its params


def move(turn: Turn, event: str, *, rest_for: timedelta | None = None) -> None:
    """Commit a transition; with `rest_for` the lease is given back in the same statement.

    Raises LeaseLost or WishChanged, and then nothing was written.
    """
    instance = turn.instance
    before = instance.state
    changes: dict[str, Any] = {
        "state": MACHINE.target(event, before),
        "state_at": turn.now,
        "asked_at": None,
        "attempts": 0,
        "last_error": turn.reason.detail if turn.reason else "",
        **_FIELDS.get(event, _nothing)(turn),
    }
    if rest_for is not None:
        changes |= {"lease_token": None, "lease_until": None, "due_at": rest_for}
    elif event == "vanish":
        changes |= {"lease_token": None, "lease_until": None, "due_at": None}
    operation = instance.operation_id
    turn.broken_off = (instance.work, dict(instance.work_params))
    with transaction.atomic():
        write(turn, changes)
        _AFTER[event](turn, operation, [happening(instance, f"instance.{changes['state']}", before)])
        failpoint(f"instances.move.{event}")


def write(turn: Turn, changes: dict[str, Any]) -> None:
    """Change the row if it is still ours and still wanted as it was read."""
    instance = turn.instance
    mine = {"id": instance.pk, "lease_token": turn.token}
    if not statements.update(Instance, {**mine, "generation": instance.generation}, changes):
        if Instance.objects.filter(**mine).exists():
            raise WishChanged(instance.pk)
        raise LeaseLost(instance.pk)
    for name, value in changes.items():
        if name != "due_at":
            setattr(instance, name, value)


def happening(instance: Instance, event: str, before: str = "") -> Happening:
    """The outbox entry of something that happened to the instance."""
    about = {
        "name": instance.name,
        "state": str(instance.state),
        "health": str(instance.health),
        "workspace": instance.workspace_id,
    }
    if before:
        about["before"] = str(before)
    if instance.message:
        about["message"] = instance.message
    return Happening(
        event, str(instance.pk), instance.team_id, instance.region_id, about, instance.workspace_id
    )


def let_go(turn: Turn) -> None:
    """The machine is proven gone: give back capacity, disks and the meter, and keep the proof."""
    with transaction.atomic():
        write(turn, {"released_at": turn.now, "absence": turn.proof, "attempts": 0, "last_error": ""})
        _release_all(turn)
        operations.emit_many([happening(turn.instance, "instance.released")])
        failpoint("instances.release")


def _release_all(turn: Turn) -> None:
    instance = turn.instance
    charging.end(resource_id=str(instance.pk), now=turn.now)
    reservations.release(holder_id=str(instance.pk))
    disks.vanish(instance_id=str(instance.pk), now=turn.now)


# ------------------------------------------------------------------ what each event writes on the row


def _nothing(_turn: Turn) -> dict[str, Any]:
    return {}


def _no_operation() -> dict[str, Any]:
    return {"operation_id": None, "deadline_at": None, "work": Work.NONE, "work_params": {}}


def _at_rest() -> dict[str, Any]:
    return {
        "health": Health.UNKNOWN, "address": "", "started_at": None, "proof_at": None, "missed_at": None,
    }  # fmt: skip


def _run(turn: Turn) -> dict[str, Any]:
    seen = turn.observed
    assert seen is not None
    return _no_operation() | {
        "address": seen.address,
        "ssh_port": seen.ssh_port,
        "host_key": seen.host_key,
        "health": Health.HEALTHY,
        "message": "",
        "started_at": turn.now,
        "proof_at": turn.now,
        "missed_at": None,
    }


def _stop(turn: Turn) -> dict[str, Any]:
    if turn.instance.state != State.STARTING:
        return {}
    why = turn.reason or overdue()
    return _no_operation() | {"desired": Desired.STOPPED, "message": turn.instance.message or why.message}


def _rest(_turn: Turn) -> dict[str, Any]:
    return _no_operation() | _at_rest()


def _halt(turn: Turn) -> dict[str, Any]:
    why = turn.observed.failure if turn.observed else ""
    message = why or _("The machine shut itself down.")
    return _no_operation() | _at_rest() | {"desired": Desired.STOPPED, "message": message}


def _fail(turn: Turn) -> dict[str, Any]:
    return _no_operation() | {"message": (turn.reason or overdue()).message}


def _lose(turn: Turn) -> dict[str, Any]:
    changes = _no_operation() | _at_rest() | {"message": _("The machine is no longer there.")}
    return changes | (_absence(turn) if turn.is_absent else {})


def _interrupt(turn: Turn) -> dict[str, Any]:
    why = turn.observed.failure if turn.observed else ""
    message = why or _("The provider took the machine back.")
    return _no_operation() | _at_rest() | {"message": message}


def _delete(_turn: Turn) -> dict[str, Any]:
    return {"work": Work.NONE, "work_params": {}}


def _vanish(turn: Turn) -> dict[str, Any]:
    gone = {
        "deleted_at": turn.now,
        "message": "",
        "ssh_keys": [],
        "user_data": None,
        "access_private_key": "",
    }
    return _no_operation() | _at_rest() | _absence(turn) | gone


def _absence(turn: Turn) -> dict[str, Any]:
    return {"released_at": turn.now, "absence": turn.proof}


_FIELDS: dict[str, Callable[[Turn], dict[str, Any]]] = {
    "run": _run,
    "stop": _stop,
    "rest": _rest,
    "halt": _halt,
    "fail": _fail,
    "lose": _lose,
    "interrupt": _interrupt,
    "delete": _delete,
    "vanish": _vanish,
}


# ------------------------------------------------------------------ and what follows from it elsewhere

News = list[Happening]


def overdue() -> Reason:
    return Reason("deadline_exceeded", _("It took longer than allowed."))


def _advance(step: str) -> Callable[[Turn, str | None, News], None]:
    def follow(_turn: Turn, operation: str | None, news: News) -> None:
        if operation:
            operations.advance(operation_id=operation, step=step, also=news)
        else:
            operations.emit_many(news)

    return follow


def _after_run(turn: Turn, operation: str | None, news: News) -> None:
    meter(turn.instance, turn.now)
    disks.attach(instance_id=str(turn.instance.pk))
    _finish(operation, news)


def _after_stop(turn: Turn, operation: str | None, news: News) -> None:
    charging.trust(resource_id=str(turn.instance.pk))  # until it is proven to be off
    if operation and turn.instance.operation_id is None:
        why = turn.reason or overdue()
        undone = _("The machine is being switched off again; it is not charged as running.")
        operations.fail(operation_id=operation, code=why.code, message=why.message, undone=undone, also=news)
    else:
        _advance("shut_down")(turn, operation, news)


def _after_rest(turn: Turn, operation: str | None, news: News) -> None:
    meter(turn.instance, turn.now)
    _finish(operation, news)


def _after_halt(turn: Turn, operation: str | None, news: News) -> None:
    meter(turn.instance, turn.now)
    _break_off(turn, operation, news, "machine_stopped")


def _after_fail(turn: Turn, operation: str | None, news: News) -> None:
    charging.end(resource_id=str(turn.instance.pk), now=turn.now)
    why = turn.reason or overdue()
    undone = _("What had been made of it is removed, its place is given back, and nothing is charged.")
    if operation:
        operations.fail(operation_id=operation, code=why.code, message=why.message, undone=undone, also=news)
    else:
        operations.emit_many(news)


def _after_lose(turn: Turn, operation: str | None, news: News) -> None:
    if turn.is_absent:
        _release_all(turn)
    else:
        charging.end(resource_id=str(turn.instance.pk), now=turn.now)
    _break_off(turn, operation, news, "machine_lost")


def _after_interrupt(turn: Turn, operation: str | None, news: News) -> None:
    charging.end(resource_id=str(turn.instance.pk), now=turn.now)
    _break_off(turn, operation, news, "interrupted")


def _after_vanish(turn: Turn, operation: str | None, news: News) -> None:
    _release_all(turn)
    _finish(operation, news)


def _finish(operation: str | None, news: News) -> None:
    if operation:
        operations.finish(operation_id=operation, also=news)
    else:
        operations.emit_many(news)


def _break_off(turn: Turn, operation: str | None, news: News, code: str) -> None:
    """Whatever was under way cannot be finished on a machine that is not there."""
    drop_work(turn.instance, *turn.broken_off)
    if operation:
        operations.fail(operation_id=operation, code=code, message=turn.instance.message, also=news)
    else:
        operations.emit_many(news)


def meter(instance: Instance, now: datetime) -> None:
    """Charge for what the instance is now: all of it while it runs, its disk while it is stopped."""
    is_running = instance.state in (State.RUNNING, State.STOPPING)
    charging.begin(
        team_id=instance.team_id,
        workspace_id=instance.workspace_id,
        resource_id=str(instance.pk),
        resource_name=instance.name,
        region_id=instance.region_id,
        kind="instance",
        rates=instance.running_rates if is_running else instance.resting_rates,
        now=now,
    )


_AFTER: dict[str, Callable[[Turn, str | None, News], None]] = {
    "provision": _advance("provision"),
    "run": _after_run,
    "stop": _after_stop,
    "rest": _after_rest,
    "halt": _after_halt,
    "start": _advance("power_on"),
    "fail": _after_fail,
    "lose": _after_lose,
    "interrupt": _after_interrupt,
    "delete": _advance("remove"),
    "vanish": _after_vanish,
}
