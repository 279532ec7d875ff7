"""External providers as replicas of the platform's own endpoints: added and removed by staff, never scaled.

Nothing of theirs is ours to make or to remove: the row is the whole of it. Who leaves is out of the routes at
once, and what is open there is finished there.
"""

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.core.errors import NotFound
from apps.core.permissions import Permission
from apps.core.queue import enqueue
from apps.drivers.egress import networks_of
from apps.inference.errors import BadEndpoint, WrongState
from apps.inference.models import Endpoint, Replica
from apps.inference.services.endpoints import be_there, lock
from apps.inference.services.lifecycle import lock_endpoint
from apps.inference.services.news import RECONCILE, of_replica
from apps.inference.services.replicas import let_go
from apps.inference.specs import ProviderSpec, check_provider
from apps.inference.states import Desired, Kind
from apps.operations import services as operations

MOST = 16  # of one endpoint


@transaction.atomic
def add_provider(*, actor: Actor, endpoint_id: str, spec: ProviderSpec) -> Replica:
    """Have a provider answer for an endpoint as well, or when our own engines cannot.

    Its answers cost callers what any cost; what it charges is recorded from its bills. The key is sealed and
    never shown.
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
    _note(actor, replica, "replica.provider_added")
    operations.emit_many([of_replica(replica, "replica.pending")])
    enqueue(RECONCILE, replica_id=str(replica.pk))
    return replica


@transaction.atomic
def remove_provider(*, actor: Actor, replica_id: str) -> Replica:
    """It is asked no more; what it is answering is finished."""
    found = Replica.objects.visible_to(actor).external().filter(pk=replica_id).first()
    if found is None:
        raise NotFound(_("There is no such provider."))
    actor.require(Permission.ENDPOINT_UPDATE)
    lock_endpoint(found.endpoint_id)
    replica: Replica = Replica.objects.get(pk=found.pk)
    if replica.desired == Desired.GONE:
        return replica
    let_go(ids=[str(replica.pk)])
    _note(actor, replica, "replica.provider_removed")
    replica.refresh_from_db()
    return replica


def _refuse_known(endpoint: Endpoint, spec: ProviderSpec) -> None:
    there = Replica.objects.external().filter(endpoint=endpoint, desired=Desired.RUNNING)
    if there.filter(url=spec.url.rstrip("/"), provider_model=spec.model).exists():
        raise WrongState(_("This provider answers for it already."))
    if there.count() >= MOST:
        raise WrongState(_("An endpoint has at most %(most)d providers.") % {"most": MOST})


def _note(actor: Actor, replica: Replica, action: str) -> None:
    audit.record(
        actor=actor,
        action=action,
        target=replica,
        region_id=replica.region_id,
        endpoint=replica.endpoint_id,
        url=replica.url,
        model=replica.provider_model,
    )
