"""An endpoint is made: rules, price, rows and the first replicas in one transaction."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.billing.selectors.prices import quote as quote_of
from apps.billing.services.prices import set_price
from apps.core import tenancy
from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.core.errors import Invalid
from apps.core.failpoints import failpoint
from apps.core.permissions import Permission
from apps.inference.errors import BadEndpoint, NameTaken
from apps.inference.models import Endpoint, Revision
from apps.inference.selectors import offers
from apps.inference.selectors.offers import Offer
from apps.inference.services.endpoints import count, open_operation, scale_fields
from apps.inference.services.replicas import add_replica
from apps.inference.specs import CREATE, EndpointSpec
from apps.inference.states import Metering, Visibility
from apps.regions.models import Region
from apps.registry.models import ModelVersion
from apps.registry.services.life import locked
from apps.registry.states import State
from apps.teams.models import Team, Workspace


def create_endpoint(
    *, actor: Actor, team: Team | None, workspace: Workspace | None, spec: EndpointSpec
) -> Endpoint:
    """Put a model behind a name. Without a team it is the provider's own: public, charged by token.

    Raises QuotaExceeded when the team has as many as its policy allows, NoHeadroom when it cannot pay for
    the first replicas.
    """
    actor.require(Permission.ENDPOINT_CREATE, *([team.scope] if team else []))
    if team is not None and spec.prices:
        raise BadEndpoint(_("A team pays for its replicas, not for its tokens."), field="prices")
    region = offers.region_called(spec.region)
    offer = offers.find(
        actor=actor, region=region, recipe=spec.recipe, team_id=str(team.pk) if team else None
    )
    with transaction.atomic():
        endpoint = _draft(actor, team, workspace, spec, region)
        _price(endpoint, offer)
        save_new(endpoint)
        count(endpoint)
        revision = revise(endpoint=endpoint, offer=offer, by=actor.label)
        open_operation(actor=actor, endpoint=endpoint, plan=CREATE)
        endpoint.revision, endpoint.model_name = revision, revision.model_name
        endpoint.save(update_fields=["revision", "model_name", "operation_id", "deadline_at"])
        for _one in range(endpoint.wanted):
            add_replica(endpoint=endpoint, revision=revision, is_spot=False, now=endpoint.created_at)
        audit.record(
            actor=actor,
            action="endpoint.created",
            target=endpoint,
            model=revision.model_name,
            hardware=offer.hardware.slug,
            region=region.slug,
        )
        price_tokens(actor=actor, endpoint=endpoint, currency=spec.currency, prices=spec.prices)
        failpoint("inference.create.written")
    failpoint("inference.create.committed")
    return endpoint


def _draft(
    actor: Actor, team: Team | None, workspace: Workspace | None, spec: EndpointSpec, region: Region
) -> Endpoint:
    return new_endpoint(
        by=actor,
        region=region,
        slug=spec.slug,
        name=spec.name,
        team=team,
        team_name=team.name if team else "",
        workspace=workspace,
        visibility=Visibility.TEAM if team else Visibility.PUBLIC,
        metering=Metering.TIME if team else Metering.TOKENS,
        wanted=max(spec.scale.least, 1),
        policy=spec.policy,
        queue_limit=spec.queue_limit,
        drain_seconds=spec.drain_seconds,
        **scale_fields(spec.scale),
    )


def new_endpoint(*, by: Actor, region: Region, slug: str, name: str, **values: Any) -> Endpoint:
    """The row of an endpoint that begins now, not yet saved."""
    now = db_now()
    return Endpoint(
        region=region,
        slug=slug,
        name=name.strip() or slug,
        created_by_id=by.user_id,
        created_by_key_id=by.key_id,
        created_by_label=by.label[:200],
        created_at=now,
        state_at=now,
        active_at=now,
        due_at=now,
        **values,
    )


def _price(endpoint: Endpoint, offer: Offer) -> None:
    endpoint.modality = str(offer.version.model.modality)
    if endpoint.team_id is None:
        endpoint.currency = ""
        return
    quote = quote_of(offer.hardware.rates, team_id=endpoint.team_id, at=endpoint.created_at)
    endpoint.hourly, endpoint.currency = quote.hourly, quote.currency


def price_tokens(*, actor: Actor, endpoint: Endpoint, currency: str, prices: Mapping[str, Decimal]) -> None:
    """Set what callers pay per million tokens, by kind."""
    for kind, price in prices.items():
        product = f"tokens:{endpoint.price_slug}:{kind}"
        set_price(actor=actor, product=product, currency=currency, unit_price=price)


def save_new(endpoint: Endpoint) -> None:
    """Insert it; raises NameTaken."""
    try:
        with transaction.atomic():
            endpoint.save(force_insert=True)
    except IntegrityError as error:
        if "slug_once" not in str(error):
            raise
        raise NameTaken(_("There is an endpoint of that name already."), field="slug") from error


def hold(version: ModelVersion) -> ModelVersion:
    """The version as it is now, locked: who revokes or retires it meanwhile finds who serves it then."""
    with tenancy.everything():  # the provider's models are a team's to read, and only who may write can lock
        return locked(version)


def revise(*, endpoint: Endpoint, offer: Offer, by: str) -> Revision:
    """The next revision of the endpoint; nothing serves it yet."""
    version = hold(offer.version)
    if version.state != State.SERVABLE:
        raise Invalid(_("There is no such version of a model that can be served."), field="version")
    last = Revision.objects.filter(endpoint=endpoint).aggregate(last=Max("number"))["last"] or 0
    revision = Revision(
        endpoint=endpoint,
        team_id=endpoint.team_id,
        region_id=endpoint.region_id,
        number=last + 1,
        version=version,
        model_name=str(version)[:120],
        digest=version.digest,
        hardware=offer.hardware,
        context_length=offer.context_length,
        parallel=offer.parallel,
        created_by_label=by[:200],
    )
    revision.save(force_insert=True)
    return revision
