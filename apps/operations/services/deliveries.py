"""What comes of sending an event to a webhook: noted by whoever holds its lease, in one statement each."""

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import structlog
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext as _

from apps.core.actor import SYSTEM, Actor
from apps.core.clock import db_now
from apps.core.leases import LeaseLost, in_time
from apps.core.permissions import Permission, Role
from apps.operations.models import Webhook, WebhookQuerySet
from apps.operations.specs import Position
from apps.operations.states import Pause
from apps.teams.models import Membership

log = structlog.get_logger(__name__)

LEASE = timedelta(minutes=1)
GIVE_UP = timedelta(days=3)
MOST_TRIES = 20  # kept for the page
SLOW = 1.0  # seconds
_WAITS = (5, 30, 120, 600, 1800, 3600)  # seconds before the next attempt; the last one goes on
MAIL_WITHIN, MAILS = timedelta(days=7), 50


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to deliver an event: the answer's status, or why there was none."""

    event: str
    type: str
    at: str  # RFC 3339
    number: int
    status: int | None
    seconds: float
    problem: str = ""

    @property
    def is_delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def wait_after(attempts: int) -> timedelta:
    """How long to leave a receiver alone that has failed so often in a row: at most an hour."""
    return timedelta(seconds=_WAITS[min(attempts, len(_WAITS)) - 1])


def note_delivered(webhook: Webhook, attempt: Attempt, position: Position) -> None:
    """It was accepted: the webhook's place moves on. Raises LeaseLost; then somebody else sends it again."""
    _note(
        webhook,
        attempt,
        read_txid=position.txid,
        read_seq=position.seq,
        attempts=0,
        deadline_at=None,
        last_error="",
        last_delivered_at=Now(),
        is_slow=attempt.seconds > SLOW,
    )
    webhook.attempts, webhook.deadline_at = 0, None


def note_failed(webhook: Webhook, attempt: Attempt) -> None:
    """It was not accepted: the same event again, later."""
    _note(
        webhook,
        attempt,
        attempts=F("attempts") + 1,
        deadline_at=Coalesce(F("deadline_at"), in_time(GIVE_UP)),
        last_error=attempt.problem,
        due_at=in_time(wait_after(webhook.attempts + 1)),
        is_slow=True,
    )


def _note(webhook: Webhook, attempt: Attempt, **values: Any) -> None:
    tries = [asdict(attempt), *webhook.tries][:MOST_TRIES]
    values |= {"tries": tries, "last_status": attempt.status, "lease_until": in_time(LEASE)}
    write(webhook, **values)
    webhook.tries = tries


def write(webhook: Webhook, **values: Any) -> None:
    """Change a webhook that one holds."""
    if not Webhook.objects.filter(pk=webhook.pk, lease_token=webhook.lease_token).update(**values):
        raise LeaseLost(webhook.pk)


def let_go(webhook: Webhook, position: Position, **values: Any) -> None:
    """Give the lease back; up to the position everything is dealt with."""
    place = {"read_txid": position.txid, "read_seq": position.seq}
    write(webhook, **place, lease_token=None, lease_until=None, **values)


def mail_given_up(*, actor: Actor = SYSTEM) -> int:
    """Write to the admins of teams whose webhooks were given up, once each; how many webhooks that were."""
    actor.require(Permission.WEBHOOK_MANAGE)
    fresh = _untold().filter(state_at__gt=in_time(-MAIL_WITHIN)).order_by("pk")
    return sum(_mail(pk) for pk in fresh.values_list("pk", flat=True)[:MAILS])


def _untold() -> WebhookQuerySet:
    found: WebhookQuerySet = Webhook.objects.filter(
        told_at=None, paused_because__in=(Pause.GONE, Pause.FAILING)
    )
    return found


@transaction.atomic
def _mail(pk: str) -> bool:
    """Mail it and note that. Should the process die in between, the repeat carries the same id."""
    rows = _untold().select_for_update(of=("self",), skip_locked=True).select_related("team")
    webhook: Webhook | None = rows.filter(pk=pk).first()
    if webhook is None:
        return False
    people = Membership.objects.filter(team_id=webhook.team_id, role=Role.TEAM_ADMIN, user__is_active=True)
    words = {"name": webhook.name, "team": webhook.team.name, "why": webhook.get_paused_because_display()}
    subject = _("[hostedai] The webhook “%(name)s” of %(team)s is paused") % words
    body = _("%(why)s. What happens meanwhile waits for 30 days: mend the receiver, then resume it.") % words
    to = sorted(people.values_list("user__email", flat=True))
    name = f"<webhook-{webhook.pk}-{webhook.generation}@hostedai>"
    try:
        EmailMessage(subject, body, None, to, headers={"Message-ID": name}).send()
    except OSError as error:  # SMTPException is one
        log.warning("not_mailed", message=name, error=str(error))
        return False
    webhook.told_at = db_now()
    webhook.save(update_fields=["told_at"])
    return True
