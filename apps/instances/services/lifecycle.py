"""What reconcilers write: each transition in one transaction with its operation, meter, capacity and event.

Lock order: the instance (its update comes first), then money, then capacity.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.billing.services import charging
from apps.core import turns
from apps.core.failpoints import failpoint
from apps.core.turns import given_back, overdue
from apps.drivers.base import Observed
from apps.gpupools.services import reservations
from apps.instances.models import Instance
from apps.instances.services import disks
from apps.instances.services.work import drop_work
from apps.instances.states import MACHINE, Desired, Health, State, Work
from apps.operations import services as operations
from apps.operations.specs import Happening

RESYNC = timedelta(minutes=10)

# Transitions after which there is nothing to do, and when to look again.
RESTING: dict[str, timedelta | None] = {"run": RESYNC, "rest": RESYNC, "halt": RESYNC, "vanish": None}


@dataclass(slots=True)
class Turn(turns.Turn[Instance, Observed]):
    """One worker's hold of an instance."""

    broken_off: tuple[str, dict[str, Any]] = ("", {})  # the work that a transition ends, and its params


def move(turn: Turn, event: str) -> None:
    """Commit a transition; where nothing is left to do, the lease is given back in the same statement.

    Raises LeaseLost or WishChanged, and then nothing was written.
    """
    instance = turn.row
    before = instance.state
    changes = turn.entering(MACHINE.target(event, before)) | _FIELDS.get(event, _nothing)(turn)
    if event in RESTING:
        changes |= given_back(RESTING[event])
    operation = instance.operation_id
    turn.broken_off = (instance.work, dict(instance.work_params))
    with transaction.atomic():
        turn.write(changes)
        _AFTER[event](turn, operation, [happening(instance, f"instance.{changes['state']}", before)])
        failpoint(f"instances.move.{event}")


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
        turn.write({**turn.absence(), "attempts": 0, "last_error": ""})
        _release_all(turn)
        operations.emit_many([happening(turn.row, "instance.released")])
        failpoint("instances.release")


def _release_all(turn: Turn) -> None:
    instance = turn.row
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
    seen = turn.seen
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
    if turn.row.state != State.STARTING:
        return {}
    why = turn.reason or overdue()
    return _no_operation() | {"desired": Desired.STOPPED, "message": turn.row.message or why.message}


def _rest(_turn: Turn) -> dict[str, Any]:
    return _no_operation() | _at_rest()


def _halt(turn: Turn) -> dict[str, Any]:
    why = turn.seen.failure if turn.seen else ""
    message = why or _("The machine shut itself down.")
    return _no_operation() | _at_rest() | {"desired": Desired.STOPPED, "message": message}


def _fail(turn: Turn) -> dict[str, Any]:
    return _no_operation() | {"message": (turn.reason or overdue()).message}


def _lose(turn: Turn) -> dict[str, Any]:
    changes = _no_operation() | _at_rest() | {"message": _("The machine is no longer there.")}
    return changes | (turn.absence() if turn.is_absent else {})


def _interrupt(turn: Turn) -> dict[str, Any]:
    why = turn.seen.failure if turn.seen else ""
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
    return _no_operation() | _at_rest() | turn.absence() | gone


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


def _advance(step: str) -> Callable[[Turn, str | None, News], None]:
    def follow(_turn: Turn, operation: str | None, news: News) -> None:
        if operation:
            operations.advance(operation_id=operation, step=step, also=news)
        else:
            operations.emit_many(news)

    return follow


def _after_run(turn: Turn, operation: str | None, news: News) -> None:
    meter(turn.row, turn.now)
    disks.attach(instance_id=str(turn.row.pk))
    _finish(operation, news)


def _after_stop(turn: Turn, operation: str | None, news: News) -> None:
    charging.trust(resource_id=str(turn.row.pk))  # until it is proven to be off
    if operation and turn.row.operation_id is None:
        why = turn.reason or overdue()
        undone = _("The machine is being switched off again; it is not charged as running.")
        operations.fail(operation_id=operation, code=why.code, message=why.message, undone=undone, also=news)
    else:
        _advance("shut_down")(turn, operation, news)


def _after_rest(turn: Turn, operation: str | None, news: News) -> None:
    meter(turn.row, turn.now)
    _finish(operation, news)


def _after_halt(turn: Turn, operation: str | None, news: News) -> None:
    meter(turn.row, turn.now)
    _break_off(turn, operation, news, "machine_stopped")


def _after_fail(turn: Turn, operation: str | None, news: News) -> None:
    charging.end(resource_id=str(turn.row.pk), now=turn.now)
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
        charging.end(resource_id=str(turn.row.pk), now=turn.now)
    _break_off(turn, operation, news, "machine_lost")


def _after_interrupt(turn: Turn, operation: str | None, news: News) -> None:
    charging.end(resource_id=str(turn.row.pk), now=turn.now)
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
    drop_work(turn.row, *turn.broken_off)
    if operation:
        operations.fail(operation_id=operation, code=code, message=turn.row.message, also=news)
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
