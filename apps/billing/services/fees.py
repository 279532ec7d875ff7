"""What is paid besides usage: fees, and commitments with what is missing from them."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q, Sum
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.billing.models import Commitment, Fee, TransactionKind, UsageDay, Wallet
from apps.billing.rating import PLACES
from apps.billing.services import booking, grants
from apps.billing.services.amounts import check_amount
from apps.billing.services.booking import Batch, Texts, charge_usage
from apps.billing.services.grants import NewGrant
from apps.billing.specs import EPOCH, derived_uuid
from apps.billing.states import FeePeriod
from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.core.errors import Invalid
from apps.core.failpoints import failpoint
from apps.core.ids import decode
from apps.core.money import ZERO, plain
from apps.core.permissions import Permission
from apps.teams.models import Team

# Usage of a month is nearly all known this long after its end; what comes later counts for no commitment.
SETTLE_AFTER = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class NewFee:
    """A fee to be charged: once or every month, with credit included that lapses with the month."""

    name: str
    period: FeePeriod
    amount: Decimal
    starts_on: date
    included: Decimal = ZERO
    ends_on: date | None = None


@dataclass(frozen=True, slots=True)
class NewCommitment:
    """So much a month for products that begin with `products` (empty: all)."""

    name: str
    amount: Decimal
    starts_on: date
    products: str = ""
    ends_on: date | None = None


@transaction.atomic
def add_fee(*, actor: Actor, team: Team, new: NewFee, is_base: bool = False) -> Fee:
    """Charge a team a fee from a day on; months are charged in advance, the first one whole.

    The base fee, of which there is one at most, is that of the team's pricing policy.
    """
    actor.require(Permission.PRICE_MANAGE)
    _check(team, new.amount, new.starts_on, new.ends_on)
    _check(team, new.included, new.starts_on, new.ends_on)
    fee: Fee = Fee.objects.create(
        team=team,
        name=new.name[:80],
        period=new.period,
        amount=new.amount,
        included=new.included,
        starts_on=new.starts_on,
        ends_on=new.ends_on,
        is_base=is_base,
        created_by=actor.label[:200],
    )
    audit.record(actor=actor, action="fee.added", target=fee, amount=plain(new.amount))
    return fee


@transaction.atomic
def end_fee(*, actor: Actor, fee: Fee, on: date) -> Fee:
    """Charge the fee for no month that begins after this day; what was charged stays. One that was never
    charged, and whose time has not come, is never charged."""
    actor.require(Permission.PRICE_MANAGE)
    locked: Fee = Fee.objects.select_for_update().get(pk=fee.pk)
    if locked.ends_on is not None and locked.ends_on <= on:
        return locked
    locked.ends_on = max(on, locked.starts_on)
    if locked.charged_until is None and on <= locked.starts_on:
        locked.charged_until = next_month(locked.ends_on)
    locked.save(update_fields=["ends_on", "charged_until"])
    audit.record(actor=actor, action="fee.ended", target=locked, on=on.isoformat())
    return locked


@transaction.atomic
def add_commitment(*, actor: Actor, team: Team, new: NewCommitment) -> Commitment:
    """Note a team's promise; what is missing from a month is charged after its end."""
    actor.require(Permission.PRICE_MANAGE)
    _check(team, new.amount, new.starts_on, new.ends_on)
    if not new.amount:
        raise Invalid(_("The amount must be positive."), field="amount")
    commitment: Commitment = Commitment.objects.create(
        team=team,
        name=new.name[:80],
        products=new.products[:80],
        amount=new.amount,
        starts_on=new.starts_on,
        ends_on=new.ends_on,
        created_by=actor.label[:200],
    )
    audit.record(actor=actor, action="commitment.added", target=commitment, amount=plain(new.amount))
    return commitment


@transaction.atomic
def end_commitment(*, actor: Actor, commitment: Commitment, on: date) -> Commitment:
    """Let nothing be promised from this day on; the days of its month before that are settled as ever."""
    actor.require(Permission.PRICE_MANAGE)
    locked: Commitment = Commitment.objects.select_for_update().get(pk=commitment.pk)
    if locked.ends_on is not None and locked.ends_on <= on:
        return locked
    locked.ends_on = max(on, locked.starts_on + timedelta(days=1))
    if on <= locked.starts_on:
        locked.settled_until = locked.ends_on
    locked.save(update_fields=["ends_on", "settled_until"])
    audit.record(actor=actor, action="commitment.ended", target=locked, on=on.isoformat())
    return locked


def charge_due(*, now: datetime | None = None) -> int:
    """Charge every fee that has become due and settle every commitment whose month is over; how many."""
    moment = now or db_now()
    today = moment.astimezone(UTC).date()
    open_fees = Q(charged_until=None) | Q(period=FeePeriod.MONTH, charged_until__lte=today)
    fees = Fee.objects.filter(open_fees, starts_on__lte=today).order_by("team", "id")
    fees = fees.filter(Q(ends_on=None) | Q(charged_until=None) | Q(charged_until__lte=F("ends_on")))
    done = sum(_charge_fee(str(fee_id), today) for fee_id in fees.values_list("pk", flat=True))
    before = (moment - SETTLE_AFTER).astimezone(UTC).date().replace(day=1)
    begun = Commitment.objects.filter(starts_on__lt=before).order_by("team", "id")
    begun = begun.filter(Q(settled_until=None) | Q(settled_until__lt=before))
    return done + sum(_settle(str(one), before) for one in begun.values_list("pk", flat=True))


def next_month(day: date) -> date:
    """The first day of the month after the day's."""
    return (day.replace(day=1) + timedelta(days=31)).replace(day=1)


def midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)


@transaction.atomic
def _charge_fee(fee_id: str, today: date) -> int:
    fee: Fee = Fee.objects.select_for_update().get(pk=fee_id)
    count = 0
    day = fee.charged_until or fee.starts_on
    while day <= today and (fee.ends_on is None or day <= fee.ends_on):
        if fee.charged_until is not None and fee.period == FeePeriod.ONCE:
            break
        _post_fee(fee, day)
        failpoint("billing.fees.posted")
        day = fee.charged_until = next_month(day)
        count += 1
    fee.save(update_fields=["charged_until"])
    return count


def _post_fee(fee: Fee, day: date) -> None:
    """One fee for the month that begins on the day: charged, and the credit that comes with it given."""
    key = derived_uuid(EPOCH, "fee", fee.pk, day.isoformat())
    texts = Texts(key, midnight(day), f"fee {day:%Y-%m}", fee.name, TransactionKind.FEE)
    _post(fee.team_id, texts, "fee", "month" if fee.period == FeePeriod.MONTH else "once", fee.amount)
    if fee.included:
        new = NewGrant(
            fee.included, fee.name, f"fee {fee.pk} {day:%Y-%m}", priority=grants.INCLUDED_PRIORITY,
            expires_at=midnight(next_month(day)),
        )  # fmt: skip
        grants.give(team_id=fee.team_id, new=new, by="")


@transaction.atomic
def _settle(commitment_id: str, before: date) -> int:
    """Charge what is missing from every month of the commitment that ended before the day."""
    commitment: Commitment = Commitment.objects.select_for_update().get(pk=commitment_id)
    count, day = 0, commitment.settled_until or commitment.starts_on
    while day < before and (commitment.ends_on is None or day < commitment.ends_on):
        until = min(next_month(day), commitment.ends_on or next_month(day))
        missing = max(_promised(commitment, day, until) - _used(commitment, day, until), ZERO)
        key = derived_uuid(EPOCH, "true_up", commitment.pk, day.isoformat())
        at = midnight(until) - timedelta(microseconds=1)
        texts = Texts(key, at, f"commitment {day:%Y-%m}", commitment.name, TransactionKind.TRUE_UP)
        _post(commitment.team_id, texts, "commitment", "month", missing)
        failpoint("billing.commitments.posted")
        day = until
        count += 1
    commitment.settled_until = max(day, before)
    commitment.save(update_fields=["settled_until"])
    return count


def _promised(commitment: Commitment, start: date, end: date) -> Decimal:
    """A part of a month is promised by its days."""
    first = start.replace(day=1)
    whole, part = (next_month(first) - first).days, (end - start).days
    found: Decimal = (
        commitment.amount if part == whole else (commitment.amount * part / whole).quantize(PLACES)
    )
    return found


def _used(commitment: Commitment, start: date, end: date) -> Decimal:
    days = UsageDay.objects.filter(team_id=commitment.team_id, day__gte=start, day__lt=end)
    days = days.filter(product__startswith=commitment.products).exclude(product__in=("fee", "commitment"))
    return days.aggregate(s=Sum("amount"))["s"] or ZERO


def _post(team_id: str, texts: Texts, product: str, unit: str, amount: Decimal) -> None:
    """A rated line without a price version, its day, and its posting; nothing for nothing."""
    wallet: Wallet = Wallet.objects.select_for_update().get(team_id=team_id)
    if not amount:
        return
    batch, team, workspace = Batch(), decode("team", team_id), _workspace(team_id)
    what = (texts.description, product, unit, None, texts.at)
    cost = (ZERO, Decimal(1), amount, None, amount, None)
    batch.lines.append((None, None, texts.id, team, workspace, *what, *cost))
    charge_usage(batch, wallet, texts=texts, amount=amount, covered=ZERO)
    booking.write(batch)


def _workspace(team_id: str) -> UUID:
    """What concerns the whole team is shown under its oldest workspace."""
    team = Team.objects.get(pk=team_id)
    first = team.workspaces.order_by("pk").values_list("pk", flat=True).first()
    return decode("wks", str(first))


def _check(team: Team, amount: Decimal, starts_on: date, ends_on: date | None) -> None:
    check_amount(amount, team.currency, is_zero_allowed=True)
    if ends_on is not None and ends_on <= starts_on:
        raise Invalid(_("It ends after it begins."), field="ends_on")
