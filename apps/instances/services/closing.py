"""How a reconciler ends its turn: work done, work given up, or nothing to do for a while."""

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.core.failpoints import failpoint
from apps.core.turns import Reason, overdue
from apps.instances.services.lifecycle import Turn, happening, meter
from apps.instances.services.work import conclude, drop_work, fields_after
from apps.instances.states import State, Work
from apps.operations import services as operations

_NO_WORK: dict[str, Any] = {
    "operation_id": None, "deadline_at": None, "work": Work.NONE, "work_params": {}, "asked_at": None,
    "attempts": 0, "last_error": "",
}  # fmt: skip


def finish_work(turn: Turn, *, size_bytes: int = 0) -> None:
    """The work in hand is done; raises LeaseLost or WishChanged, and then nothing was written."""
    instance = turn.row
    work, params, operation = Work(instance.work), dict(instance.work_params), instance.operation_id
    with transaction.atomic():
        turn.write({**_NO_WORK, **fields_after(instance, work, params)})
        if work == Work.RESIZE:
            meter(instance, turn.now)
        conclude(instance, work, params, size_bytes=size_bytes, now=turn.now)
        news = [happening(instance, f"instance.{work}_done")]
        if operation:
            operations.finish(operation_id=operation, also=news)
        failpoint(f"instances.finish.{work}")


def give_up(turn: Turn) -> None:
    """The work in hand cannot be done, or not in time: undo what was set aside and say why.

    A stop is never given up, only its operation ends: the machine will be switched off when it can be.
    """
    instance = turn.row
    why = turn.reason or overdue()
    work, params, operation = Work(instance.work), dict(instance.work_params), instance.operation_id
    is_stop = instance.state == State.STOPPING
    undone = _("It is still being tried.") if is_stop else _("The machine stays as it was.")
    with transaction.atomic():
        turn.write({**_NO_WORK, "last_error": why.detail or why.message})
        drop_work(instance, work, params)
        if operation:
            operations.fail(operation_id=operation, code=why.code, message=why.message, undone=undone)
        failpoint(f"instances.give_up.{work or 'stop'}")


def note_progress(turn: Turn, step: str) -> None:
    """Tell the operation's timeline that a step has begun."""
    if turn.row.operation_id:
        with transaction.atomic():
            operations.advance(operation_id=turn.row.operation_id, step=step)


def raise_alarm(turn: Turn, event: str, why: Reason) -> None:
    """Tell staff, through the outbox, what does not go on by itself."""
    with transaction.atomic():
        turn.write({"work_params": {**turn.row.work_params, "alarm": event}})
        news = happening(turn.row, event)
        operations.emit(
            type=event,
            subject=news.subject,
            team_id=news.team_id,
            region_id=news.region_id,
            workspace_id=news.workspace_id,
            data={**news.data, "detail": why.detail},
        )
