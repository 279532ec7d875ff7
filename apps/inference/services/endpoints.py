"""What people wish of endpoints. A wish is written and accepted; reconcilers bring it about."""

from typing import Any

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.core import tenancy
from apps.core.actor import Actor, region_scope, team_scope
from apps.core.clock import db_now
from apps.core.errors import NotFound
from apps.core.failpoints import failpoint
from apps.core.permissions import Permission
from apps.core.queue import enqueue
from apps.inference.errors import Busy, WrongState
from apps.inference.models import Endpoint, Revision
from apps.inference.services.news import STEER, of_endpoint, target_of
from apps.inference.services.replicas import let_all_go
from apps.inference.specs import CREATE, DELETE, UPDATE, ScaleRules
from apps.inference.states import Desired, EndpointState
from apps.operations import services as operations
from apps.operations.specs import OperationPlan
from apps.policies import services as policies
from apps.policies.specs import Demand


@transaction.atomic
def set_scale(*, actor: Actor, endpoint_id: str, scale: ScaleRules) -> Endpoint:
    """Change how it grows and shrinks; from now on."""
    endpoint = lock(actor=actor, endpoint_id=endpoint_id, permission=Permission.ENDPOINT_UPDATE)
    be_there(endpoint)
    be_engines(endpoint)
    rules = scale_fields(scale)
    wanted = min(max(endpoint.wanted, scale.least), scale.most)
    write(endpoint, **rules, wanted=wanted, low_since=None)
    audit.record(
        actor=actor, action="endpoint.scale_set", target=endpoint, least=scale.least, most=scale.most
    )
    operations.emit_many([of_endpoint(endpoint, "endpoint.scale_set")])
    return endpoint


@transaction.atomic
def delete_endpoint(*, actor: Actor, endpoint_id: str) -> Endpoint:
    """Remove it for good: open requests are finished, then every engine goes. Overtakes everything else."""
    endpoint = lock(actor=actor, endpoint_id=endpoint_id, permission=Permission.ENDPOINT_DELETE)
    if endpoint.desired == Desired.GONE:
        return endpoint
    overtake(endpoint, _("The endpoint was deleted."))
    let_all_go(endpoint=endpoint)
    return begin(actor=actor, endpoint=endpoint, plan=DELETE, action="endpoint.deleted", desired=Desired.GONE)


@transaction.atomic
def wake(*, endpoint_id: str) -> bool:
    """A request came for an endpoint that sleeps: have one replica made. May be said again; False when it
    does not sleep."""
    asleep = Endpoint.objects.filter(pk=endpoint_id, wanted=0, desired=Desired.RUNNING)
    woken = asleep.update(
        wanted=1,
        active_at=Now(),
        scaled_at=Now(),
        low_since=None,
        generation=F("generation") + 1,
        due_at=Now(),
    )
    if woken:
        enqueue(STEER, endpoint_id=endpoint_id)
    return bool(woken)


@transaction.atomic
def mark_revoked(*, version_id: str) -> int:
    """A version must not be served any more, by whomsoever: its replicas drain. Returns how many endpoints
    that is."""
    with tenancy.everything():  # its owner does not see whom it is lent to
        return _mark_revoked(version_id)


def _mark_revoked(version_id: str) -> int:
    rows = Revision.objects.filter(version_id=version_id, is_revoked=False)
    touched = sorted(set(rows.values_list("endpoint_id", flat=True)))
    rows.update(is_revoked=True)
    message = _("The version it serves was revoked.")
    for endpoint in Endpoint.objects.live().filter(pk__in=touched, revision__version_id=version_id):
        write(endpoint, message=message)
        operations.emit_many([of_endpoint(endpoint, "endpoint.revoked")])
    for pk in touched:
        Endpoint.objects.filter(pk=pk).update(due_at=Now())
        enqueue(STEER, endpoint_id=str(pk))
    return len(touched)


# ------------------------------------------------------------------ shared


def lock(*, actor: Actor, endpoint_id: str, permission: Permission) -> Endpoint:
    """The row, locked, if the actor may see it and do this to it."""
    rows = Endpoint.objects.visible_to(actor).select_for_update(of=("self",), no_key=True)
    found = rows.select_related("region").filter(pk=endpoint_id).first()
    if found is None or found.state == EndpointState.DELETED:
        raise NotFound(_("There is no such endpoint."))
    endpoint: Endpoint = found
    actor.require(permission, *scopes_of(endpoint))
    return endpoint


def scopes_of(endpoint: Endpoint) -> list[Any]:
    """Where one must hold a permission to do something to it."""
    if endpoint.team_id is None:
        return []
    return [team_scope(endpoint.team_id), region_scope(endpoint.region_id)]


def count(endpoint: Endpoint) -> None:
    """Count it against its team's quota; raises QuotaExceeded, with what is left."""
    if endpoint.team_id:
        policies.consume(team_id=str(endpoint.team_id), demand=_one(endpoint))


def uncount(endpoint: Endpoint) -> None:
    """It is gone for good: its place in the quota is free."""
    if endpoint.team_id:
        policies.free(team_id=str(endpoint.team_id), demand=_one(endpoint))


def _one(endpoint: Endpoint) -> Demand:
    return Demand(str(endpoint.region_id), endpoints=1)


def begin(*, actor: Actor, endpoint: Endpoint, plan: OperationPlan, action: str, **changes: Any) -> Endpoint:
    """Open the operation, write the wish and tell a reconciler."""
    open_operation(actor=actor, endpoint=endpoint, plan=plan)
    write(endpoint, operation_id=endpoint.operation_id, deadline_at=endpoint.deadline_at, **changes)
    audit.record(actor=actor, action=action, target=endpoint, operation=str(endpoint.operation_id))
    if plan is UPDATE:  # a deletion tells of itself when it is proven
        operations.emit_many([of_endpoint(endpoint, action)])
    failpoint(f"inference.wish.{plan.kind.removeprefix('endpoint.')}")
    return endpoint


def overtake(endpoint: Endpoint, message: str) -> None:
    """End what is under way, because something stronger begins."""
    if endpoint.operation_id:
        operations.cancel(operation_id=endpoint.operation_id, message=message)
    endpoint.operation_id = endpoint.deadline_at = None


def scale_fields(scale: ScaleRules) -> dict[str, Any]:
    return {
        "min_replicas": scale.least,
        "max_replicas": scale.most,
        "scale_metric": scale.metric,
        "scale_target": scale.target,
        "idle_seconds": scale.idle_seconds,
        "spot_percent": scale.spot_percent,
        "has_fallback": scale.has_fallback,
    }


def open_operation(*, actor: Actor, endpoint: Endpoint, plan: OperationPlan) -> None:
    now = db_now()
    also = [of_endpoint(endpoint, "endpoint.created")] if plan is CREATE else []
    operation = operations.open_operation(
        actor=actor, target=target_of(endpoint), plan=plan, now=now, also=also
    )
    endpoint.operation_id, endpoint.deadline_at = str(operation.pk), operation.deadline_at


def be_there(endpoint: Endpoint) -> None:
    if endpoint.desired == Desired.GONE:
        raise WrongState(_("It is being deleted."))


def be_engines(endpoint: Endpoint) -> None:
    """Raise where external providers alone answer: there is nothing to scale, and nothing to roll out."""
    if endpoint.is_provided:
        raise WrongState(_("External providers answer for %(name)s.") % {"name": endpoint.slug})


def be_idle(endpoint: Endpoint) -> None:
    """Raise unless it is there to stay and nothing is being done to it."""
    be_there(endpoint)
    if endpoint.operation_id:
        raise Busy(
            _("Something else is being done to %(name)s; wait until it is done.") % {"name": endpoint.slug},
            operation=endpoint.operation_id,
        )


def previous_of(endpoint: Endpoint) -> Revision | None:
    """What it served before, if that may still be served."""
    found: Revision | None = Revision.objects.filter(pk=endpoint.previous_id, is_revoked=False).first()
    return found


def write(endpoint: Endpoint, **changes: Any) -> None:
    changes |= {"generation": endpoint.generation + 1, "attempts": 0}
    Endpoint.objects.filter(pk=endpoint.pk).update(due_at=Now(), **changes)
    for name, value in changes.items():
        setattr(endpoint, name, value)
    enqueue(STEER, endpoint_id=str(endpoint.pk))
