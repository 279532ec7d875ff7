"""What a replica's reconciler writes: each transition in one transaction with endpoint, meter and event.

Lock order: the endpoint, then its replicas, then money. So whoever counts an endpoint's replicas under its
lock counts what is.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.billing.services import charging
from apps.core import turns
from apps.core.actor import SYSTEM, Actor
from apps.core.failpoints import failpoint
from apps.core.queue import enqueue
from apps.core.turns import Reason, given_back, overdue
from apps.drivers.engines import Engine
from apps.inference.models import Endpoint, Replica
from apps.inference.services.news import STEER, of_replica
from apps.inference.states import REPLICA, Desired, EndpointState
from apps.nodes.models import Node
from apps.operations import services as operations

# An engine that served for so long and then ended is no sign that launching fails.
LASTING = timedelta(minutes=1)
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 300.0  # seconds between launches that fail


RESYNC = timedelta(minutes=5)

# Transitions after which there is nothing to do, and when to look again.
RESTING: dict[str, timedelta | None] = {"serve": RESYNC, "stop": None}

Turn: TypeAlias = turns.Turn[Replica, Engine]


def move(turn: Turn, event: str) -> None:
    """Commit a transition; where nothing is left to do, the lease is given back in the same statement.

    Raises LeaseLost or WishChanged, and then nothing was written.
    """
    replica = turn.row
    before = replica.state
    changes = turn.entering(REPLICA.target(event, before)) | _FIELDS.get(event, _nothing)(turn)
    if event in RESTING:
        changes |= given_back(RESTING[event])
    with transaction.atomic():
        endpoint = lock_endpoint(replica.endpoint_id)
        turn.write(changes)
        _charge(turn, endpoint, event)
        _tell_endpoint(turn, endpoint, event)
        if not replica.is_external or event not in _STEPS:  # nothing is started there
            operations.emit_many([of_replica(replica, f"replica.{replica.state}", before)])
        failpoint(f"inference.move.{event}")


def lock_endpoint(endpoint_id: str) -> Endpoint:
    """The endpoint's row, locked: everything that counts its replicas waits."""
    found: Endpoint = Endpoint.objects.select_for_update(of=("self",), no_key=True).get(pk=endpoint_id)
    return found


def let_go(turn: Turn) -> None:
    """The engine of a replica that ended is proven gone: the meter is over, and the proof is kept."""
    with transaction.atomic():
        lock_endpoint(turn.row.endpoint_id)
        turn.write({**turn.absence(), "attempts": 0, "last_error": ""})
        charging.end(resource_id=str(turn.row.pk), now=turn.now)
        _nudge(turn.row.endpoint_id)
        operations.emit_many([of_replica(turn.row, "replica.released")])
        failpoint("inference.release")


def take_key(turn: Turn) -> None:
    """A provider's new key has been proven: it takes over.

    Raises LeaseLost or WishChanged, and then nothing was written.
    """
    with transaction.atomic():
        turn.write({"api_key": turn.row.next_key, "next_key": "", "message": ""})
        note_provider(actor=SYSTEM, replica=turn.row, action="replica.key_replaced")
        operations.emit_many([of_replica(turn.row, "replica.key_replaced")])


def leave_key(turn: Turn, why: str) -> None:
    """A provider's new key does not work, at least not yet: people are told once why."""
    with transaction.atomic():
        turn.write({"message": why})
        operations.emit_many([of_replica(turn.row, "replica.key_not_taken")])


def note_provider(*, actor: Actor, replica: Replica, action: str) -> None:
    """Write down what happened to an external provider; its key is nobody's to read."""
    audit.record(
        actor=actor,
        action=action,
        target=replica,
        region_id=replica.region_id,
        endpoint=replica.endpoint_id,
        url=replica.url,
        model=replica.provider_model,
    )


def raise_alarm(turn: Turn) -> None:
    """Tell staff, through the outbox, of a removal that does not get through."""
    with transaction.atomic():
        turn.write({"is_alarmed": True})
        operations.emit_many([of_replica(turn.row, "replica.removal_overdue")])


# ------------------------------------------------------------------ what each event writes on the row


def _nothing(_turn: Turn) -> dict[str, Any]:
    return {}


def _serve(turn: Turn) -> dict[str, Any]:
    seen = turn.seen
    assert seen is not None
    return {
        "url": seen.url,
        "node_id": _node_of(turn),
        "message": "",
        "started_at": turn.row.started_at or turn.now,
        "last_seen_at": turn.now,
        "missed_at": None,
        "deadline_at": None,
    }


def _node_of(turn: Turn) -> str | None:
    """The host that the driver names, when it is a node of the region."""
    if turn.seen is None or not turn.seen.host:
        known: str | None = turn.row.node_id
        return known
    here = Node.objects.present().filter(region_id=turn.row.region_id, name=turn.seen.host)
    found: str | None = here.values_list("pk", flat=True).first()
    return found


def _sicken(turn: Turn) -> dict[str, Any]:
    return {"message": (turn.seen and turn.seen.failure) or _("The engine does not answer.")}


def _drain(turn: Turn) -> dict[str, Any]:
    is_noticed = turn.seen is not None and turn.seen.is_noticed
    noticed = turn.row.noticed_at or (turn.now if is_noticed else None)
    return {"desired": Desired.GONE, "deadline_at": None, "noticed_at": noticed}


def _stop(turn: Turn) -> dict[str, Any]:
    return turn.absence() | {"outstanding": None}


def _fail(turn: Turn) -> dict[str, Any]:
    why = turn.reason or _what_it_said(turn) or overdue()
    return {"message": why.message} | (turn.absence() if turn.is_absent else {})


def _preempt(turn: Turn) -> dict[str, Any]:
    said = turn.seen.failure if turn.seen else ""
    message = said or _("The provider took it back.")
    return {"message": message} | (turn.absence() if turn.is_absent else {})


_FIELDS: dict[str, Callable[[Turn], dict[str, Any]]] = {
    "serve": _serve,
    "sicken": _sicken,
    "drain": _drain,
    "stop": _stop,
    "fail": _fail,
    "preempt": _preempt,
}


# ------------------------------------------------------------------ and what follows from it elsewhere


def _what_it_said(turn: Turn) -> Reason | None:
    if turn.seen is not None and turn.seen.failure:
        return Reason("engine_ended", turn.seen.failure)
    return Reason("engine_lost", _("The engine is no longer there.")) if turn.is_absent else None


def _charge(turn: Turn, endpoint: Endpoint, event: str) -> None:
    """Time is charged from the first readiness to the proof of absence, except while it is not well."""
    replica = turn.row
    match event:
        case "serve" if replica.rates:
            _begin_meter(replica, endpoint, turn.now)
        case "sicken" | "fail" | "preempt":
            seen = [at for at in (replica.last_seen_at, replica.started_at) if at]
            charging.end(resource_id=str(replica.pk), now=max(seen, default=turn.now))
        case "stop":
            charging.end(resource_id=str(replica.pk), now=turn.now)


def _begin_meter(replica: Replica, endpoint: Endpoint, now: datetime) -> None:
    charging.begin(
        team_id=str(endpoint.team_id),
        workspace_id=str(endpoint.workspace_id),
        resource_id=str(replica.pk),
        resource_name=endpoint.slug,
        region_id=replica.region_id,
        kind="replica",
        rates=replica.serving_rates,
        now=now,
    )


def _tell_endpoint(turn: Turn, endpoint: Endpoint, event: str) -> None:
    """Count failures, move its operation's timeline on, and have somebody look at it."""
    if turn.row.is_external:
        _nudge(endpoint.pk)  # says nothing of launches
        return
    changes: dict[str, Any] = {}
    match event:
        case "serve":
            changes = {"failures": 0, "retry_at": None, "message": ""}
        case "fail" if not _lasted(turn):
            failures = endpoint.failures + 1
            pause = min(FIRST_PAUSE * 2.0 ** (failures - 1), LONGEST_PAUSE)
            changes = {"failures": failures, "retry_at": turn.now + timedelta(seconds=pause)}
            changes["message"] = turn.row.message
    if event in _STEPS and endpoint.operation_id:
        operations.advance(operation_id=endpoint.operation_id, step=_STEPS[event])
    _nudge(endpoint.pk, **changes)


def _lasted(turn: Turn) -> bool:
    started = turn.row.started_at
    return started is not None and turn.now - started > LASTING


def _nudge(endpoint_id: str, **changes: Any) -> None:
    live = Endpoint.objects.filter(pk=endpoint_id).exclude(state=EndpointState.DELETED)
    live.update(due_at=Now(), **changes)
    enqueue(STEER, endpoint_id=str(endpoint_id))


_STEPS = {"provision": "engine", "start": "load"}
