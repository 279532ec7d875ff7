"""External providers: replicas of the platform's own endpoints, or all that answers for one. Staff adds,
changes and removes them; nothing scales them.

Nothing of theirs is ours to make or to remove: the row is the whole of it. Who leaves is out of the routes at
once, and what is open there is finished there.
"""

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.billing.services import provided
from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.core.errors import NotFound
from apps.core.permissions import Permission
from apps.core.queue import enqueue
from apps.drivers.egress import networks_of
from apps.inference.errors import BadEndpoint, WrongState
from apps.inference.models import Endpoint, Replica
from apps.inference.selectors import offers
from apps.inference.services.endpoints import be_there, lock
from apps.inference.services.lifecycle import lock_endpoint
from apps.inference.services.lifecycle import note_provider as note
from apps.inference.services.making import new_endpoint, price_tokens, save_new
from apps.inference.services.news import RECONCILE, of_endpoint, of_replica
from apps.inference.services.replicas import let_go
from apps.inference.specs import ProvidedSpec, ProviderChange, ProviderSpec, check_key, check_provider
from apps.inference.states import Desired, Kind, Metering, Visibility
from apps.operations import services as operations

MOST = 16  # of one endpoint


@transaction.atomic
def create_provided(*, actor: Actor, spec: ProvidedSpec, provider: ProviderSpec) -> Endpoint:
    """Put what a provider serves behind a name: public, charged by token, with no engine of our own."""
    actor.require(Permission.ENDPOINT_CREATE)
    endpoint = new_endpoint(
        by=actor,
        region=offers.region_called(spec.region),
        slug=spec.slug,
        name=spec.name,
        model_name=provider.model[:120],
        modality=spec.modality,
        context_length=spec.context_length,
        visibility=Visibility.PUBLIC,
        metering=Metering.TOKENS,
    )
    save_new(endpoint)
    audit.record(actor=actor, action="endpoint.created", target=endpoint, model=provider.model)
    operations.emit_many([of_endpoint(endpoint, "endpoint.created")])
    add_provider(actor=actor, endpoint_id=str(endpoint.pk), spec=provider)
    price_tokens(actor=actor, endpoint=endpoint, currency=spec.currency, prices=spec.prices)
    return endpoint


@transaction.atomic
def add_provider(*, actor: Actor, endpoint_id: str, spec: ProviderSpec) -> Replica:
    """Have a provider answer for an endpoint as well, or when nothing else can.

    Its answers cost callers what any cost, and us what its rate says. The key is sealed and never shown.
    """
    endpoint = lock(actor=actor, endpoint_id=endpoint_id, permission=Permission.ENDPOINT_UPDATE)
    if endpoint.team_id is not None:
        raise BadEndpoint(_("A team's requests go to its own engines only."), field="endpoint")
    be_there(endpoint)
    check_provider(spec, networks_of(settings.PROVIDER_NETWORKS))
    _refuse_known(endpoint, spec)
    now = db_now()
    replica = Replica(
        endpoint=endpoint,
        region=endpoint.region,
        kind=Kind.EXTERNAL,
        url=spec.url.rstrip("/"),
        provider_model=spec.model,
        is_fallback=spec.is_fallback,
        created_at=now,
        state_at=now,
        due_at=now,
    )
    replica.seal_secret(spec.api_key)
    replica.save(force_insert=True)
    if spec.rate is not None:
        provided.set_rate(actor=actor, replica_id=str(replica.pk), rate=spec.rate)
    note(actor=actor, replica=replica, action="replica.provider_added")
    operations.emit_many([of_replica(replica, "replica.pending")])
    enqueue(RECONCILE, replica_id=str(replica.pk))
    return replica


@transaction.atomic
def change_provider(*, actor: Actor, replica_id: str, change: ProviderChange) -> Replica:
    """Give it another key, another place in the order, or another rate from now on.

    The old key is used until the new one has been proven by a look.
    """
    replica = _locked(actor, replica_id)
    if replica.desired == Desired.GONE:
        raise WrongState(_("It is being removed."))
    if change.api_key is not None:
        check_key(change.api_key)
        replica.next_key = replica.sealed(change.api_key)
        replica.message = _("A new key is being tried; the old one is used until it has been proven.")
        note(actor=actor, replica=replica, action="replica.key_given")
        operations.emit_many([of_replica(replica, "replica.key_given")])
    if change.is_fallback not in (None, replica.is_fallback):
        replica.is_fallback = change.is_fallback
        note(actor=actor, replica=replica, action="replica.provider_changed")
    if change.rate is not None:
        provided.set_rate(actor=actor, replica_id=str(replica.pk), rate=change.rate)
    replica.generation, replica.due_at, replica.attempts = replica.generation + 1, db_now(), 0
    replica.save(update_fields=["next_key", "message", "is_fallback", "generation", "due_at", "attempts"])
    enqueue(RECONCILE, replica_id=str(replica.pk))
    return replica


@transaction.atomic
def remove_provider(*, actor: Actor, replica_id: str) -> Replica:
    """It is asked no more; what it is answering is finished."""
    replica = _locked(actor, replica_id)
    if replica.desired == Desired.GONE:
        return replica
    let_go(ids=[str(replica.pk)])
    note(actor=actor, replica=replica, action="replica.provider_removed")
    replica.refresh_from_db()
    return replica


def _locked(actor: Actor, replica_id: str) -> Replica:
    """The provider's row, while nobody else changes its endpoint."""
    found = Replica.objects.visible_to(actor).external().filter(pk=replica_id).first()
    if found is None:
        raise NotFound(_("There is no such provider."))
    actor.require(Permission.ENDPOINT_UPDATE)
    lock_endpoint(found.endpoint_id)
    replica: Replica = Replica.objects.select_for_update(of=("self",)).get(pk=found.pk)
    return replica


def _refuse_known(endpoint: Endpoint, spec: ProviderSpec) -> None:
    there = Replica.objects.external().filter(endpoint=endpoint, desired=Desired.RUNNING)
    if there.filter(url=spec.url.rstrip("/"), provider_model=spec.model).exists():
        raise WrongState(_("This provider answers for it already."))
    if there.count() >= MOST:
        raise WrongState(_("An endpoint has at most %(most)d providers.") % {"most": MOST})
