"""Operations are opened by the service that accepts the work and ended by whoever does it.

`advance`, `finish`, `fail` and `cancel` are called inside the transaction that moves the target, so
that the timeline never tells another story than the rows; each is one statement plus one event.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.core import statements
from apps.core.actor import SYSTEM, Actor, region_scope, team_scope
from apps.core.clock import db_now
from apps.core.errors import NotFound
from apps.core.ids import decode, encode
from apps.core.leases import in_time
from apps.core.permissions import Permission
from apps.operations.errors import NotCancellable, TargetBusy
from apps.operations.models import Operation
from apps.operations.services.outbox import emit_many
from apps.operations.signals import cancel_requested
from apps.operations.specs import Happening, OperationPlan, Target
from apps.operations.states import OPEN, State, StepState

FORGOTTEN = timedelta(minutes=15)

_LAY_OUT = """
INSERT INTO operations_operationstep
       (operation_id, team_id, region_id, position, name, plane, detail, state, started_at, finished_at)
SELECT o.id, o.team, o.region, s.rank - 1, s.name, s.plane, s.detail, s.state,
       CASE WHEN s.state = 'done' THEN o.at END, CASE WHEN s.state = 'done' THEN o.at END
  FROM (SELECT %s::uuid AS id, %s::uuid AS team, %s::uuid AS region, %s::timestamptz AS at) o,
       unnest(%s::text[], %s::text[], %s::text[], %s::text[])
       WITH ORDINALITY AS s(name, plane, detail, state, rank)
"""

_ADVANCE = """
WITH goal AS (
  SELECT position AS p FROM operations_operationstep
   WHERE operation_id = %(id)s AND name = %(step)s AND state = 'pending'
), moved AS (
  UPDATE operations_operationstep AS s
     SET state = CASE WHEN s.position < goal.p THEN 'done' ELSE 'running' END,
         started_at = coalesce(s.started_at, clock_timestamp()),
         finished_at = CASE WHEN s.position < goal.p THEN clock_timestamp() END,
         detail = CASE WHEN s.position = goal.p AND %(detail)s <> '' THEN %(detail)s ELSE s.detail END
    FROM goal
   WHERE s.operation_id = %(id)s AND s.position <= goal.p AND s.state IN ('pending', 'running')
)
UPDATE operations_operation AS o
   SET state = 'running', progress = 100 * goal.p
       / (SELECT count(*) FROM operations_operationstep WHERE operation_id = %(id)s)
  FROM goal WHERE o.id = %(id)s AND o.state IN ('pending', 'running')
RETURNING o.progress, o.team_id, o.region_id, o.workspace_id, o.target_id, o.kind
"""

_END = """
WITH moved AS (
  UPDATE operations_operationstep AS s
     SET state = CASE WHEN %(good)s THEN 'done' WHEN s.state = 'running' THEN 'failed' ELSE 'skipped' END,
         started_at = CASE WHEN %(good)s THEN coalesce(s.started_at, clock_timestamp()) ELSE s.started_at END,
         finished_at = clock_timestamp(),
         detail = CASE WHEN s.state = 'running' AND %(message)s <> '' THEN %(message)s ELSE s.detail END
   WHERE s.operation_id = %(id)s AND s.state IN ('pending', 'running')
)
UPDATE operations_operation AS o
   SET state = %(state)s, progress = CASE WHEN %(good)s THEN 100 ELSE o.progress END,
       error_code = %(code)s, error_message = %(message)s, undone = %(undone)s,
       finished_at = clock_timestamp()
 WHERE o.id = %(id)s AND o.state IN ('pending', 'running')
RETURNING o.progress, o.team_id, o.region_id, o.workspace_id, o.target_id, o.kind
"""


@transaction.atomic(savepoint=False)
def open_operation(
    *,
    actor: Actor,
    target: Target,
    plan: OperationPlan,
    now: datetime | None = None,
    also: Sequence[Happening] = (),
) -> Operation:
    """Accept long work; raises TargetBusy when the target already has an open operation.

    The caller has checked the permission to do the work itself. `also` are events that go out with
    the operation's own, here and below.
    """
    done = sum(step.is_done for step in plan.steps)
    now = now or db_now()
    operation = Operation(
        kind=plan.kind,
        team_id=target.team_id,
        workspace_id=target.workspace_id,
        region_id=target.region_id,
        target_type=target.type,
        target_id=target.id,
        target_name=target.name,
        actor_label=actor.label,
        progress=100 * done // max(len(plan.steps), 1),
        is_cancellable=plan.is_cancellable,
        params=dict(plan.params),
        deadline_at=now + plan.deadline if plan.deadline else None,
        created_at=now,
    )
    try:
        statements.insert(operation)
    except IntegrityError as error:
        raise TargetBusy(
            _("Something else is being done to %(name)s.") % {"name": target.name}, target=target.id
        ) from error
    _lay_out(operation, plan, now)
    about = {"kind": plan.kind, "target": target.id, "progress": operation.progress}
    where = (target.team_id, target.region_id, about, target.workspace_id)
    emit_many([Happening("operation.opened", str(operation.pk), *where), *also])
    return operation


def _lay_out(operation: Operation, plan: OperationPlan, now: datetime) -> None:
    """The timeline: what was done already, and what is to come."""
    if not plan.steps:
        return
    scope = [operation.team_id and decode("team", operation.team_id)]
    scope += [operation.region_id and decode("reg", operation.region_id)]
    rows = [
        (step.name, step.plane.value, step.detail, StepState.DONE if step.is_done else StepState.PENDING)
        for step in plan.steps
    ]
    operation_id = decode("op", str(operation.pk))
    statements.run(_LAY_OUT, [operation_id, *scope, now, *map(list, zip(*rows, strict=True))])


def advance(*, operation_id: str, step: str, detail: str = "", also: Sequence[Happening] = ()) -> bool:
    """Begin the named step, all before it being done; False when it has begun already, there is no such
    step, or the operation has ended."""
    values = {"id": decode("op", operation_id), "step": step, "detail": detail}
    return _write(_ADVANCE, operation_id, values, "operation.advanced", {"step": step}, also)


def finish(*, operation_id: str, also: Sequence[Happening] = ()) -> bool:
    """Everything was done; False when the operation had ended before."""
    return _end(operation_id, State.SUCCEEDED, also=also)


def fail(
    *, operation_id: str, code: str, message: str, undone: str = "", also: Sequence[Happening] = ()
) -> bool:
    """The running step failed; `message` and `undone` are for the customer."""
    return _end(operation_id, State.FAILED, (code, message, undone), also)


def cancel(*, operation_id: str, message: str = "", undone: str = "", also: Sequence[Happening] = ()) -> bool:
    """End an operation that somebody called off or that another one overtook."""
    return _end(operation_id, State.CANCELLED, ("cancelled", message, undone), also)


@transaction.atomic
def cancel_operation(*, actor: Actor, operation_id: str) -> Operation:
    """Ask for an open operation to be called off; what was done is undone by who opened it.

    The row is not locked here: receivers lock the target first and then end the operation, in the
    order in which reconcilers do.
    """
    found = Operation.objects.visible_to(actor).filter(pk=operation_id).first()
    if found is None:
        raise NotFound(_("There is no such operation."))
    scopes = [team_scope(found.team_id)] if found.team_id else []
    scopes += [region_scope(found.region_id)] if found.region_id else []
    actor.require(Permission.OPERATION_CANCEL, *scopes)
    if found.state not in OPEN or not found.is_cancellable:
        raise NotCancellable(_("This operation can no longer be cancelled."), operation=str(found.pk))
    cancel_requested.send(sender=Operation, operation=found, actor=actor)
    audit.record(
        actor=actor,
        action="operation.cancelled",
        target=found,
        team_id=found.team_id,
        region_id=found.region_id,
        kind=found.kind,
    )
    found.refresh_from_db()
    operation: Operation = found
    return operation


@transaction.atomic
def expire_forgotten(*, actor: Actor = SYSTEM) -> int:
    """Fail operations a quarter of an hour past their deadline: whoever opened them never came back."""
    actor.require(Permission.OPERATION_CANCEL)
    late = Operation.objects.open().filter(deadline_at__lt=in_time(-FORGOTTEN))
    ended = 0
    for operation_id in late.order_by("pk").values_list("pk", flat=True)[:500]:
        message = _("It took longer than allowed.")
        ended += fail(operation_id=operation_id, code="deadline_exceeded", message=message)
    return ended


def _end(
    operation_id: str,
    state: State,
    why: tuple[str, str, str] = ("", "", ""),
    also: Sequence[Happening] = (),
) -> bool:
    code, message, undone = why
    values = {
        "id": decode("op", operation_id),
        "state": state.value,
        "good": state == State.SUCCEEDED,
        "code": code,
        "message": message,
        "undone": undone,
    }
    about = {"code": code, "message": message} if code else {}
    return _write(_END, operation_id, values, f"operation.{state.value}", about, also)


def _write(
    statement: str,
    operation_id: str,
    values: dict[str, Any],
    event: str,
    about: dict[str, str],
    also: Sequence[Happening],
) -> bool:
    row = statements.fetch_one(statement, values)
    if row is None:
        emit_many(also)
        return False
    progress, team, region, workspace, target, kind = row
    told = {"kind": kind, "target": target, "progress": progress, **about}
    where = (team and encode("team", team), region and encode("reg", region))
    emit_many([Happening(event, operation_id, *where, told, workspace and encode("wks", workspace)), *also])
    return True
