"""An endpoint steered: how many replicas there shall be, which are made and which are let go, and its state.

One transaction under the endpoint's lock. Every transition of a replica takes the same lock first, so what
is counted here is what is.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.billing.errors import NoPrice
from apps.core.errors import PaymentRequired
from apps.core.failpoints import failpoint
from apps.core.leases import in_time
from apps.inference.errors import NoEngines
from apps.inference.models import Endpoint, Replica, Revision
from apps.inference.plans import endpoints as plans
from apps.inference.plans.scaling import Load, Rules, Standing, Verdict, decide
from apps.inference.services.endpoints import previous_of, uncount
from apps.inference.services.news import of_endpoint
from apps.inference.services.replicas import add_replica, let_go
from apps.inference.states import ENDED, ENDPOINT, Desired, EndpointState, Kind, ReplicaState, ScaleMetric
from apps.operations import services as operations

SICK_FOR = timedelta(seconds=60)  # after that an unhealthy replica is replaced
SPOT_AGAIN = timedelta(minutes=10)  # so long after a refusal no spot capacity is asked for
SOON, LATER = timedelta(seconds=2), timedelta(minutes=1)
NO_MONEY_PAUSE = timedelta(seconds=30)


@dataclass(slots=True)
class Helm:
    """An endpoint under its lock, its replicas, and the changes that go into its one update."""

    endpoint: Endpoint
    units: list[plans.Unit]
    shape: plans.Shape
    now: datetime
    changes: dict[str, Any]


def steer(*, endpoint_id: str, load: Load | None, now: datetime) -> bool:
    """One look at an endpoint; False when there is nothing to look at or somebody else is at it."""
    with transaction.atomic():
        rows = Endpoint.objects.select_for_update(of=("self",), no_key=True, skip_locked=True)
        found = rows.exclude(state=EndpointState.DELETED).filter(pk=endpoint_id).first()
        if found is None:
            return False
        endpoint: Endpoint = found
        scaling = _scale(endpoint, load, now)
        units = _units(endpoint, now)
        helm = Helm(endpoint, units, _shape(endpoint, units, now), now, scaling)
        _move_replicas(helm)
        _move_state(helm)
        _mind_operation(helm)
        failpoint("inference.steer.planned")
        due = None if endpoint.state == EndpointState.DELETED else in_time(_next_look(helm))
        Endpoint.objects.filter(pk=endpoint.pk).update(due_at=due, **helm.changes)
        failpoint("inference.steer.written")
    return True


# ------------------------------------------------------------------ what is


def _units(endpoint: Endpoint, now: datetime) -> list[plans.Unit]:
    """What it is made of. External providers are staff's: beside engines of our own they count only for what
    must be gone in the end."""
    rows = Replica.objects.present().filter(endpoint=endpoint).order_by("pk")
    if endpoint.desired != Desired.GONE and not endpoint.is_provided:
        rows = rows.exclude(kind=Kind.EXTERNAL)
    return [_unit(row, now) for row in rows]


def _unit(row: Replica, now: datetime) -> plans.Unit:
    is_sick = row.state == ReplicaState.UNHEALTHY and now - row.state_at > SICK_FOR
    return plans.Unit(
        id=str(row.pk),
        revision=str(row.revision_id),
        state=ReplicaState(row.state),
        is_wanted=row.desired == Desired.RUNNING,
        is_spot=row.is_spot,
        is_leaving=is_sick or row.noticed_at is not None,
    )


def _shape(endpoint: Endpoint, units: list[plans.Unit], now: datetime) -> plans.Shape:
    named = [pk for pk in (endpoint.revision_id, endpoint.canary_id) if pk]
    revoked = Revision.objects.filter(endpoint=endpoint, is_revoked=True).values_list("pk", flat=True)
    return plans.Shape(
        revision=str(endpoint.revision_id),
        wanted=endpoint.wanted,
        least=endpoint.min_replicas,
        canary=endpoint.canary_id,
        weight=endpoint.canary_weight,
        revoked=frozenset(str(pk) for pk in revoked),
        spot_percent=endpoint.spot_percent,
        may_launch=bool(named) and (endpoint.retry_at is None or endpoint.retry_at <= now),
        may_use_spot=not (endpoint.has_fallback and _was_refused_spot(endpoint, now)),
        is_deleting=endpoint.desired == Desired.GONE,
    )


def _was_refused_spot(endpoint: Endpoint, now: datetime) -> bool:
    recent = Replica.objects.filter(endpoint=endpoint, is_spot=True, state_at__gt=now - SPOT_AGAIN)
    return recent.filter(state__in=(ReplicaState.FAILED, ReplicaState.PREEMPTED)).exists()


# ------------------------------------------------------------------ how many


def _scale(endpoint: Endpoint, load: Load | None, now: datetime) -> dict[str, Any]:
    """What the load asks for, written on the row in hand; returns the same as changes."""
    if endpoint.desired == Desired.GONE:
        return {}
    changes: dict[str, Any] = {}
    called = load.last_request_at if load else 0.0
    if called > endpoint.active_at.timestamp():
        changes["active_at"] = datetime.fromtimestamp(called, UTC)
    verdict = decide(rules_of(endpoint), _standing(endpoint), load, now.timestamp())
    low = verdict.low_since
    changes["low_since"] = None if low is None else datetime.fromtimestamp(low, UTC)
    if verdict.wanted != endpoint.wanted:
        changes |= {"wanted": verdict.wanted, "scaled_at": now}
        _tell_scaled(endpoint, verdict)
    for name, value in changes.items():
        setattr(endpoint, name, value)
    return changes


def rules_of(endpoint: Endpoint) -> Rules:
    return Rules(
        metric=ScaleMetric(endpoint.scale_metric),
        target=endpoint.scale_target,
        least=endpoint.min_replicas,
        most=endpoint.max_replicas,
        idle_seconds=endpoint.idle_seconds,
    )


def _standing(endpoint: Endpoint) -> Standing:
    return Standing(
        wanted=endpoint.wanted,
        scaled_at=endpoint.scaled_at.timestamp() if endpoint.scaled_at else None,
        active_at=endpoint.active_at.timestamp(),
        low_since=endpoint.low_since.timestamp() if endpoint.low_since else None,
    )


def _tell_scaled(endpoint: Endpoint, verdict: Verdict) -> None:
    before = endpoint.wanted
    told = of_endpoint(endpoint, "endpoint.scaled", reason=verdict.reason, wanted_before=before)
    operations.emit_many([told])


# ------------------------------------------------------------------ replicas


def _move_replicas(helm: Helm) -> None:
    if helm.endpoint.is_provided:
        return  # staff adds and removes them
    moves = plans.moves(helm.shape, helm.units)
    if moves.drain:
        let_go(ids=moves.drain)
    if moves.create:
        _create(helm, moves.create)


def _create(helm: Helm, wanted: tuple[plans.New, ...]) -> None:
    """Add replicas, as far as there is money and room; what is missing is tried again later."""
    endpoint = helm.endpoint
    revisions = {
        str(row.pk): row
        for row in Revision.objects.select_related("version__model", "hardware").filter(
            pk__in={new.revision for new in wanted}
        )
    }
    try:
        for new in wanted:
            with transaction.atomic():
                add_replica(
                    endpoint=endpoint, revision=revisions[new.revision], is_spot=new.is_spot, now=helm.now
                )
    except (PaymentRequired, NoPrice, NoEngines) as refusal:
        endpoint.message = refusal.message
        helm.changes |= {"message": refusal.message, "retry_at": helm.now + NO_MONEY_PAUSE}
    helm.units = _units(endpoint, helm.now)


# ------------------------------------------------------------------ state and operation


def _move_state(helm: Helm) -> None:
    endpoint, before = helm.endpoint, helm.endpoint.state
    event = plans.standing(helm.shape, helm.units, EndpointState(before), endpoint.failures)
    if event is None:
        return
    after = ENDPOINT.target(event, before)
    changes: dict[str, Any] = {"state": after, "state_at": helm.now}
    match event:
        case "serve":
            changes |= {"message": "", "ready_at": endpoint.ready_at or helm.now}
        case "sleep":
            changes["message"] = endpoint.message if endpoint.retry_at else ""
        case "vanish":
            changes |= {"deleted_at": helm.now, "message": "", "wanted": 0, "min_replicas": 0}
            uncount(endpoint)
    for name, value in changes.items():
        setattr(endpoint, name, value)
    helm.changes |= changes
    operations.emit_many([of_endpoint(endpoint, f"endpoint.{after}", before)])


def _mind_operation(helm: Helm) -> None:
    """End the operation when what it was for is so, or when it will not be."""
    endpoint, operation = helm.endpoint, helm.endpoint.operation_id
    if operation is None:
        return
    done = {"operation_id": None, "deadline_at": None}
    if helm.shape.is_deleting:
        if endpoint.state == EndpointState.DELETED:
            operations.finish(operation_id=operation)
            helm.changes |= done
        elif not any(unit.is_live for unit in helm.units):
            operations.advance(operation_id=operation, step="release")
        return
    if plans.is_settled(helm.shape, helm.units):
        operations.finish(operation_id=operation)
        helm.changes |= done
    elif endpoint.failures >= plans.GIVE_UP_AFTER or _is_late(endpoint, helm.now):
        _give_up(helm, operation)
        helm.changes |= done
    elif all(unit.is_ready for unit in helm.units if unit.revision == helm.shape.revision):
        for step in ("route", "drain"):
            operations.advance(operation_id=operation, step=step)


def _is_late(endpoint: Endpoint, now: datetime) -> bool:
    return endpoint.deadline_at is not None and endpoint.deadline_at < now


def _give_up(helm: Helm, operation: str) -> None:
    """What was wished cannot be had: an update goes back to what was, a new endpoint says why and goes on."""
    endpoint = helm.endpoint
    why = endpoint.message or _("It took longer than allowed.")
    code = "replicas_failed" if endpoint.failures else "deadline_exceeded"
    undone = _("It is still being tried.")
    if endpoint.canary_id is not None:  # then it was for that
        if _is_short_of_canaries(helm):
            undone = _("The canary was taken away; everything else stays as it was.")
            helm.changes |= {"canary": None, "canary_weight": 0}
    elif endpoint.ready_at is not None and (previous := previous_of(endpoint)) is not None:
        undone = _("It is back at what served before.")
        helm.changes |= {"revision": previous, "previous": None, "model_name": previous.model_name}
    helm.changes |= {"failures": 0, "retry_at": None}
    operations.fail(operation_id=operation, code=code, message=why, undone=undone)


def _is_short_of_canaries(helm: Helm) -> bool:
    canary = helm.shape.canary
    ready = sum(unit.is_ready for unit in helm.units if unit.revision == canary)
    return canary is not None and ready < plans.targets(helm.shape).get(canary, 1)


def _next_look(helm: Helm) -> timedelta:
    """Soon while something moves or the load decides; else now and then."""
    endpoint = helm.endpoint
    is_moving = endpoint.operation_id is not None or any(
        unit.state not in ENDED and not unit.is_ready for unit in helm.units
    )
    lacks = sum(unit.is_ready for unit in helm.units) < endpoint.wanted
    is_led = endpoint.min_replicas != endpoint.max_replicas
    return SOON if is_moving or lacks or is_led or "revision" in helm.changes else LATER
