"""Replicas are added, let go, looked at again, and reported ill."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.billing.services import charging
from apps.billing.specs import Spender, as_json
from apps.core.actor import Actor, region_scope, team_scope
from apps.core.clock import db_now
from apps.core.errors import NotFound
from apps.core.leases import in_time
from apps.core.permissions import Permission
from apps.core.queue import enqueue
from apps.inference.errors import WrongState
from apps.inference.models import Endpoint, Replica, Revision
from apps.inference.selectors import offers
from apps.inference.services.lifecycle import lock_endpoint
from apps.inference.services.news import RECONCILE, of_replica
from apps.inference.states import LIVE, Desired, Metering, ReplicaState
from apps.operations import services as operations

READY_WITHIN = timedelta(minutes=20)
UNPAID_PAUSE = timedelta(minutes=1)


def add_replica(*, endpoint: Endpoint, revision: Revision, is_spot: bool, now: datetime) -> Replica:
    """A replica that a reconciler will make; raises NoEngines, or PaymentRequired when neither balance nor
    budgets leave enough for it.

    The caller holds the endpoint's lock.
    """
    region, hardware = endpoint.region, revision.hardware
    cluster = offers.cluster_for(region=region, hardware=hardware, version=revision.version)
    replica = Replica(
        endpoint=endpoint,
        team_id=endpoint.team_id,
        region=region,
        cluster=cluster,
        revision=revision,
        kind=cluster.kind,
        is_spot=is_spot,
        created_at=now,
        state_at=now,
        due_at=now,
        deadline_at=now + READY_WITHIN,
    )
    replica.seal_secret(secrets.token_urlsafe(32))
    if endpoint.metering == Metering.TIME:
        replica.rates = as_json(hardware.rates)
        charging.reserve(
            team_id=str(endpoint.team_id),
            resource_id=str(replica.pk),
            rates=hardware.rates,
            now=now,
            spender=_spender(endpoint),
        )
    replica.save(force_insert=True)
    operations.emit_many([of_replica(replica, "replica.pending")])
    enqueue(RECONCILE, replica_id=str(replica.pk))
    return replica


def _spender(endpoint: Endpoint) -> Spender:
    """Whoever launched it pays for all that it grows to."""
    return Spender(
        str(endpoint.team_id),
        endpoint.workspace_id,
        key_id=endpoint.created_by_key_id,
        user_id=endpoint.created_by_id,
    )


def let_go(*, ids: Iterable[str]) -> None:
    """Wish these away; the caller holds their endpoint's lock."""
    named = list(ids)
    rows = Replica.objects.filter(pk__in=named, desired=Desired.RUNNING)
    rows.update(desired=Desired.GONE, generation=F("generation") + 1, due_at=Now(), attempts=0)
    for pk in named:
        enqueue(RECONCILE, replica_id=pk)


def let_all_go(*, endpoint: Endpoint) -> None:
    """Wish every replica away; the caller holds the endpoint's lock."""
    let_go(ids=map(str, Replica.objects.live().filter(endpoint=endpoint).values_list("pk", flat=True)))


@transaction.atomic
def replace_replica(*, actor: Actor, replica_id: str) -> Replica:
    """Let one go, its open requests finished; the endpoint makes another in its place."""
    found = Replica.objects.visible_to(actor).filter(pk=replica_id).first()
    if found is None:
        raise NotFound(_("There is no such replica."))
    replica: Replica = found
    scopes = [team_scope(replica.team_id)] if replica.team_id else []
    actor.require(Permission.ENDPOINT_OPERATE, *scopes, region_scope(replica.region_id))
    lock_endpoint(replica.endpoint_id)
    if replica.is_external:
        raise WrongState(_("External providers are removed and added, not replaced."))
    if replica.state not in LIVE or replica.desired == Desired.GONE:
        raise WrongState(_("It is %(state)s.") % {"state": replica.get_state_display().lower()})
    let_go(ids=[str(replica.pk)])
    audit.record(
        actor=actor,
        action="replica.replaced",
        target=replica,
        team_id=replica.team_id,
        region_id=replica.region_id,
        endpoint=replica.endpoint_id,
    )
    return replica


@transaction.atomic
def rest_unpaid(*, replica_id: str, budget: str = "") -> None:
    """Its team cannot pay for it any longer, or a budget stops it: it drains, and comes back by itself when
    there is money."""
    found = Replica.objects.live().filter(pk=replica_id).first()
    if found is None:
        return
    endpoint = lock_endpoint(found.endpoint_id)
    let_go(ids=[replica_id])
    message = _("It rests because the balance ran out.")
    if budget:
        message = _("It rests because the budget “%(name)s” is used up.") % {"name": budget}
    Endpoint.objects.filter(pk=endpoint.pk).update(
        message=message, retry_at=in_time(UNPAID_PAUSE), due_at=Now()
    )
    operations.emit_many([of_replica(found, "replica.stopped_unpaid")])


def report_unhealthy(*, replica_id: str, reason: str) -> None:
    """The gateway met trouble with it: have it looked at now. A hint; what is seen decides."""
    rows = Replica.objects.filter(pk=replica_id, state=ReplicaState.READY)
    if rows.update(due_at=Now(), last_error=reason[:2000]):
        enqueue(RECONCILE, replica_id=replica_id)


def note_seen(*, ids: Iterable[str], now: datetime) -> None:
    """These were just seen to serve."""
    Replica.objects.filter(pk__in=list(ids), state=ReplicaState.READY).update(
        last_seen_at=now, missed_at=None
    )


def note_missed(*, ids: Iterable[str], now: datetime) -> None:
    """These could not be looked at, or did not answer; what that means is for a pass to say."""
    rows = Replica.objects.filter(pk__in=list(ids), state=ReplicaState.READY)
    rows.update(missed_at=Coalesce("missed_at", now), due_at=Now())


def look_again(*, ids: Iterable[str]) -> None:
    """Make them due: what was seen does not fit what is recorded."""
    rows = Replica.objects.filter(Q(due_at=None) | Q(due_at__gt=Now()), pk__in=list(ids), released_at=None)
    rows.update(due_at=Now())


def note_notice(*, replica_id: str, now: datetime) -> None:
    """Its provider will take it away soon (spot): it drains, and another takes its place."""
    rows = Replica.objects.filter(pk=replica_id, noticed_at=None, state__in=LIVE)
    if rows.update(noticed_at=now, generation=F("generation") + 1, due_at=Now()):
        enqueue(RECONCILE, replica_id=replica_id)


# ------------------------------------------------------------------ what happens to their nodes


def leave_node(*, node_id: str) -> None:
    """Its node is drained, or will be taken away: those on it drain, and others take their places."""
    now = db_now()
    rows = Replica.objects.filter(node_id=node_id, noticed_at=None, state__in=LIVE).order_by("pk")
    for pk in list(rows.values_list("pk", flat=True)):
        note_notice(replica_id=str(pk), now=now)


def note_readings(*, node_id: str, readings: Sequence[Mapping[str, Any]], now: datetime) -> None:
    """What the node's agent saw of its engines just now: proof of life, or a reason to look."""
    healthy = {str(one["name"]) for one in readings if one["healthy"]}
    sick = {str(one["name"]) for one in readings} - healthy
    on_node = Replica.objects.filter(node_id=node_id, state=ReplicaState.READY)
    if healthy:
        on_node.filter(pk__in=_ids(healthy)).update(last_seen_at=now, missed_at=None)
    if sick:
        on_node.filter(pk__in=_ids(sick)).update(missed_at=Coalesce("missed_at", now), due_at=Now())


def _ids(names: Iterable[str]) -> list[str]:
    """Those that can be replicas; agents also watch engines that are not ours."""
    return [name for name in names if name.startswith("rep_") and len(name) == 30]
