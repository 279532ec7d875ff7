"""Serving something else: updates that roll, canaries, and the way back."""

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.billing.selectors import prices
from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.core.errors import Invalid
from apps.core.permissions import Permission
from apps.inference.errors import WrongState
from apps.inference.models import Endpoint, Revision
from apps.inference.selectors import offers
from apps.inference.services.endpoints import (
    be_engines,
    be_idle,
    be_there,
    begin,
    lock,
    overtake,
    previous_of,
    write,
)
from apps.inference.services.making import hold, revise
from apps.inference.services.news import of_endpoint
from apps.inference.services.replicas import let_all_go
from apps.inference.specs import CREATE, DELETE, UPDATE, Recipe
from apps.inference.states import Desired
from apps.operations import services as operations
from apps.operations.models import Operation
from apps.registry.models import ModelVersion
from apps.registry.states import SERVED


@transaction.atomic
def update_endpoint(*, actor: Actor, endpoint_id: str, recipe: Recipe) -> Endpoint:
    """Serve something else, or on something else: new replicas take over before old ones go."""
    endpoint = lock(actor=actor, endpoint_id=endpoint_id, permission=Permission.ENDPOINT_UPDATE)
    be_idle(endpoint)
    be_engines(endpoint)
    offer = offers.find(actor=actor, region=endpoint.region, recipe=recipe, team_id=endpoint.team_id)
    revision = revise(endpoint=endpoint, offer=offer, by=actor.label)
    return _roll(actor, endpoint, revision, "endpoint.updated")


@transaction.atomic
def roll_back(*, actor: Actor, endpoint_id: str) -> Endpoint:
    """Serve again what was served before the last update."""
    endpoint = lock(actor=actor, endpoint_id=endpoint_id, permission=Permission.ENDPOINT_UPDATE)
    be_there(endpoint)
    if endpoint.operation_id:
        overtake(endpoint, _("It was rolled back."))
    previous = previous_of(endpoint)
    version = ModelVersion.objects.filter(pk=previous.version_id).first() if previous else None
    if previous is None or version is None or hold(version).state not in SERVED:
        raise WrongState(_("There is nothing to go back to."))
    return _roll(actor, endpoint, previous, "endpoint.rolled_back")


@transaction.atomic
def set_canary(*, actor: Actor, endpoint_id: str, recipe: Recipe, weight: int) -> Endpoint:
    """Try something else out on `weight` percent of the requests."""
    endpoint = lock(actor=actor, endpoint_id=endpoint_id, permission=Permission.ENDPOINT_UPDATE)
    if not 1 <= weight <= 99:
        raise Invalid(_("A canary gets 1 to 99 percent of the requests."), field="weight")
    be_idle(endpoint)
    be_engines(endpoint)
    offer = offers.find(actor=actor, region=endpoint.region, recipe=recipe, team_id=endpoint.team_id)
    canary = revise(endpoint=endpoint, offer=offer, by=actor.label)
    changes = {"canary": canary, "canary_weight": weight}
    return begin(actor=actor, endpoint=endpoint, plan=UPDATE, action="endpoint.canary_set", **changes)


@transaction.atomic
def weigh_canary(*, actor: Actor, endpoint_id: str, weight: int) -> Endpoint:
    """Give the canary another share."""
    endpoint = lock(actor=actor, endpoint_id=endpoint_id, permission=Permission.ENDPOINT_UPDATE)
    _require_canary(endpoint)
    if not 1 <= weight <= 99:
        raise Invalid(_("A canary gets 1 to 99 percent of the requests."), field="weight")
    write(endpoint, canary_weight=weight)
    audit.record(actor=actor, action="endpoint.canary_weighed", target=endpoint, weight=weight)
    operations.emit_many([of_endpoint(endpoint, "endpoint.canary_weighed", canary_weight=weight)])
    return endpoint


@transaction.atomic
def promote_canary(*, actor: Actor, endpoint_id: str) -> Endpoint:
    """Let the canary take over."""
    endpoint = lock(actor=actor, endpoint_id=endpoint_id, permission=Permission.ENDPOINT_UPDATE)
    canary = _require_canary(endpoint)
    be_idle(endpoint)
    if canary.is_revoked:
        raise WrongState(_("The version it serves was revoked."))
    return _roll(actor, endpoint, canary, "endpoint.canary_promoted")


@transaction.atomic
def drop_canary(*, actor: Actor, endpoint_id: str) -> Endpoint:
    """Take the canary away."""
    endpoint = lock(actor=actor, endpoint_id=endpoint_id, permission=Permission.ENDPOINT_UPDATE)
    _require_canary(endpoint)
    if endpoint.operation_id:
        overtake(endpoint, _("The canary was taken away."))
    write(endpoint, canary=None, canary_weight=0, operation_id=None, deadline_at=None)
    audit.record(actor=actor, action="endpoint.canary_dropped", target=endpoint)
    operations.emit_many([of_endpoint(endpoint, "endpoint.canary_dropped")])
    return endpoint


@transaction.atomic
def call_off(*, actor: Actor, operation: Operation) -> None:
    """End a launch or an update that its owner no longer wants; what was made is undone."""
    rows = Endpoint.objects.select_for_update(of=("self",), no_key=True)
    found = rows.filter(pk=operation.target_id).first()
    if found is None or found.operation_id != operation.pk:
        return
    endpoint: Endpoint = found
    message = _("Cancelled by %(who)s.") % {"who": actor.label}
    overtake(endpoint, message)
    if operation.kind == CREATE.kind:
        let_all_go(endpoint=endpoint)
        begin(actor=actor, endpoint=endpoint, plan=DELETE, action="endpoint.deleted", desired=Desired.GONE)
        return
    changes: dict[str, Any] = {"operation_id": None, "deadline_at": None}
    if endpoint.canary_id is not None:  # then it was for that
        changes |= {"canary": None, "canary_weight": 0}
    elif (previous := previous_of(endpoint)) is not None:
        changes |= {"revision": previous, "model_name": previous.model_name, "previous": None}
    write(endpoint, **changes)


def _roll(actor: Actor, endpoint: Endpoint, revision: Revision, action: str) -> Endpoint:
    """Serve this revision from now on; the one before is kept to go back to. What was tried out beside that
    ends: while something is under way and there is a canary, it is under way for the canary."""
    _price_again(endpoint, revision)
    return begin(
        actor=actor,
        endpoint=endpoint,
        plan=UPDATE,
        action=action,
        revision=revision,
        previous=endpoint.revision,
        canary=None,
        canary_weight=0,
        model_name=revision.model_name,
        hourly=endpoint.hourly,
        failures=0,
        retry_at=None,
        message="",
    )


def _price_again(endpoint: Endpoint, revision: Revision) -> None:
    if endpoint.team_id is not None:
        quote = prices.quote(revision.hardware.rates, team_id=endpoint.team_id, at=db_now())
        endpoint.hourly = quote.hourly


def _require_canary(endpoint: Endpoint) -> Revision:
    be_there(endpoint)
    if endpoint.canary is None:
        raise WrongState(_("There is no canary."))
    return endpoint.canary
