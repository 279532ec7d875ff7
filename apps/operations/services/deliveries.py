"""What comes of sending an event to a webhook: noted by whoever holds its lease, in one statement each."""

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from django.db.models import F
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext as _

from apps.core.actor import SYSTEM, Actor
from apps.core.leases import LeaseLost, in_time
from apps.core.mailing import MAIL_WITHIN, Letter, mail_each
from apps.core.permissions import Permission, Role
from apps.operations.models import Webhook
from apps.operations.specs import Position
from apps.operations.states import Pause
from apps.teams.selectors.rows import addresses_of

LEASE = timedelta(minutes=1)
GIVE_UP = timedelta(days=3)
MOST_TRIES = 20  # kept for the page
SLOW = 1.0  # seconds
_WAITS = (5, 30, 120, 600, 1800, 3600)  # seconds before the next attempt; the last one goes on


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
    given_up = Webhook.objects.filter(told_at=None, paused_because__in=(Pause.GONE, Pause.FAILING))
    waiting = given_up.filter(state_at__gt=in_time(-MAIL_WITHIN)).order_by("pk")
    return mail_each(waiting.select_related("team"), write=_letter, note=_note_told)


def _letter(webhook: Webhook) -> Letter:
    words = {"name": webhook.name, "team": webhook.team.name, "why": webhook.get_paused_because_display()}
    subject = _("[hostedai] The webhook “%(name)s” of %(team)s is paused") % words
    body = _("%(why)s. What happens meanwhile waits for 30 days: mend the receiver, then resume it.") % words
    name = f"webhook-{webhook.pk}-{webhook.state_at.timestamp():.0f}"
    return Letter(name, addresses_of(webhook.team_id, Role.TEAM_ADMIN), subject, body)


def _note_told(webhook: Webhook, _letter: Letter) -> None:
    """Of this pause: it may have been resumed meanwhile, and given up again."""
    Webhook.objects.filter(pk=webhook.pk, state_at=webhook.state_at).update(told_at=Now())
