"""What staff decides about quarantined usage: charge it after all, or never."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.billing.models import Quarantined, UnratedEvent, UsageEvent
from apps.billing.selectors.tokens import price_table
from apps.billing.services import events, tokens
from apps.billing.services.events import Status
from apps.billing.specs import TokenTerms, TokenUsage
from apps.billing.states import QUARANTINE, QuarantineReason, QuarantineState
from apps.core.actor import Actor
from apps.core.clock import db_now, microseconds_of
from apps.core.errors import Conflict, Invalid
from apps.core.ids import encode
from apps.core.permissions import Permission

_TOKENS_CAN_BE_CHARGED = (QuarantineReason.NO_PRICE, QuarantineReason.AMOUNT)


@transaction.atomic
def release(*, actor: Actor, quarantined: Quarantined, note: str = "") -> Quarantined:
    """Charge it after all: what had no price waits to be rated anew, other content becomes a correction,
    and tokens are charged at the prices of their moment, whatever the gateway made of them."""
    locked = _decide(actor, quarantined, "release", note)
    if locked.reason == QuarantineReason.NO_PRICE and "event" in locked.payload:
        _rate_anew(locked.payload["event"])
    elif locked.reason == QuarantineReason.CONFLICT and "data" in locked.payload:
        _correct(actor, locked)
    elif locked.source == tokens.SOURCE and locked.reason in _TOKENS_CAN_BE_CHARGED:
        _settle_anew(locked.payload)
    else:
        raise Conflict(_("This cannot be charged as it is; it can only be discarded."), code="only_discard")
    return locked


@transaction.atomic
def discard(*, actor: Actor, quarantined: Quarantined, note: str) -> Quarantined:
    """Charge it never, and say why."""
    if not note.strip():
        raise Invalid(_("Say why."), field="note")
    return _decide(actor, quarantined, "discard", note)


def _decide(actor: Actor, quarantined: Quarantined, event: str, note: str) -> Quarantined:
    actor.require(Permission.BILLING_MANAGE)
    locked: Quarantined = Quarantined.objects.select_for_update().get(pk=quarantined.pk)
    locked.state = QuarantineState(QUARANTINE.target(event, locked.state))
    locked.note, locked.resolved_by, locked.resolved_at = note[:300], actor.label[:200], db_now()
    locked.save(update_fields=["state", "note", "resolved_by", "resolved_at"])
    audit.record(actor=actor, action=f"usage.{locked.state}", target=locked, note=locked.note)
    return locked


def _rate_anew(event_id: str) -> None:
    row = UsageEvent.objects.get(pk=encode("uev", UUID(event_id)))
    if UsageEvent.objects.filter(supersedes=row.pk).exists():
        raise Conflict(_("The event has been superseded; discard this."), code="superseded")
    UnratedEvent.objects.create(event_id=row.pk, team_id=row.team_id)


def _correct(actor: Actor, locked: Quarantined) -> None:
    """Take the other content in as an event of its own that supersedes the first one."""
    raw: dict[str, Any] = {
        **locked.payload,
        "id": f"{locked.event_id}#{str(locked.pk)[-8:]}"[-100:],
        "supersedes": locked.event_id,
    }
    (result,) = events.ingest(actor=actor, events=[raw], now=locked.received_at)
    if result.status != Status.ACCEPTED:
        raise Conflict(result.detail or str(result.status), code="not_accepted")


def _settle_anew(said: dict[str, Any]) -> None:
    """Charge a request that the gateway reported at the prices that were in force when it began."""
    started = datetime.fromisoformat(said["started_at"])
    prices = price_table(started).of(said["team_id"], said["slug"])
    if prices is None:
        raise Conflict(_("There is still no price for it."), code="no_price")
    terms = TokenTerms(
        **{name: said[name] for name in ("team_id", "workspace_id", "key_id", "endpoint_id", "slug")},
        replica_id=said.get("replica_id"),
        digest=said.get("digest", ""),
        prices=prices,
    )
    finished = datetime.fromisoformat(said["finished_at"])
    into, cached, out, embedding = said["counts"]
    usage = TokenUsage(
        terms, UUID(said["request_id"]).bytes, into, cached, out, embedding, microseconds_of(started),
        microseconds_of(finished), said["outcome"], said.get("stream", False),
    )  # fmt: skip
    if tokens.settle([usage]).counted != 1:
        raise Conflict(_("It was charged already, or cannot be charged as it is."), code="not_accepted")
