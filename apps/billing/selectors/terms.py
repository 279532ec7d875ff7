"""Reading price lists, fees, commitments, grants and vouchers."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.db.models import Max, QuerySet, Subquery, Sum
from django.db.models.functions import TruncMonth

from apps.billing.models import (
    Commitment,
    CreditGrant,
    Fee,
    Posting,
    PriceList,
    PriceListChoice,
    Transaction,
    TransactionKind,
    UsageDay,
    Voucher,
    Wallet,
)
from apps.billing.selectors import books, wallets
from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.core.money import ZERO
from apps.core.permissions import Permission
from apps.teams.models import Team

# What given credit pays for: usage and fees, not refunds or corrections of payments.
SPENDING = (TransactionKind.USAGE, TransactionKind.FEE, TransactionKind.TRUE_UP)


@dataclass(frozen=True, slots=True)
class Terms:
    """By which list a team pays, and its fees and commitments."""

    book: str
    fees: list[Fee]
    commitments: list[Commitment]


def price_lists(actor: Actor) -> "QuerySet[PriceList]":
    """Every list besides the standard one; for staff."""
    actor.require(Permission.PRICE_READ)
    return PriceList.objects.order_by("-pk")


def vouchers(actor: Actor) -> "QuerySet[Voucher]":
    """Every voucher, newest first; for those who may give credit away."""
    return Voucher.objects.visible_to(actor).order_by("-created_at", "-pk")


def redemptions(actor: Actor, voucher: Voucher) -> list[Transaction]:
    """The transactions that a voucher turned into, newest first."""
    rows = Transaction.objects.visible_to(actor).filter(
        kind=TransactionKind.VOUCHER, reference=f"voucher {voucher.pk}"
    )
    return list(rows.select_related("team").order_by("-booked_at"))


def all_fees(actor: Actor) -> "QuerySet[Fee]":
    """Every team's fees, for staff."""
    actor.require(Permission.PRICE_READ)
    found: QuerySet[Fee] = Fee.objects.visible_to(actor).select_related("team")
    return found


def all_commitments(actor: Actor) -> "QuerySet[Commitment]":
    """Every team's commitments, for staff."""
    actor.require(Permission.PRICE_READ)
    found: QuerySet[Commitment] = Commitment.objects.visible_to(actor).select_related("team")
    return found


def payers(actor: Actor, book: str) -> list[Team]:
    """The teams that pay by a list now, by name."""
    actor.require(Permission.PRICE_READ)
    chosen = PriceListChoice.objects.filter(book=book).order_by().values("team_id")
    found = Team.objects.filter(pk__in=chosen).order_by("name")
    spans = books.spans([team.pk for team in found], until=db_now())
    return [team for team in found if team.pk in spans and spans[team.pk][-1][0] == book]


def credit_grants(actor: Actor, team_id: str) -> "QuerySet[CreditGrant]":
    """The credit that a team was given, in the order in which it is used."""
    found: QuerySet[CreditGrant] = CreditGrant.objects.visible_to(actor).filter(team_id=team_id)
    return found


def credit_left(actor: Actor, wallet: Wallet) -> list[CreditGrant]:
    """The team's grants with something left, as if what was spent up to now had been assigned to them:
    `left` beside what the last assignment left. In the order in which they are used."""
    since = _unassigned(wallet).order_by().values("account_id").annotate(s=Sum("amount")).values("s")
    grants = credit_grants(actor, wallet.team_id).filter(remaining__gt=0, expired_at=None)
    found = list(grants.annotate(change=Subquery(since)))
    spent = max(-((found[0].change if found else None) or ZERO), ZERO)
    for grant in found:
        used = min(grant.remaining, spent)
        spent -= used
        grant.left = grant.remaining - used  # type: ignore[attr-defined]
    return [grant for grant in found if grant.left]  # type: ignore[attr-defined]


def unassigned(wallet: Wallet) -> list[dict[str, Any]]:
    """What was spent and is not yet assigned to grants: `spent` (negative) and `last` posting, by month."""
    month = TruncMonth("transaction__booked_at", tzinfo=UTC)
    rows = _unassigned(wallet).order_by().annotate(month=month).values("month")
    return [dict(row) for row in rows.annotate(spent=Sum("amount"), last=Max("id")).order_by("month")]


def _unassigned(wallet: Wallet) -> "QuerySet[Posting]":
    return Posting.objects.filter(
        account_id=wallet.account_id,
        pk__gt=wallet.credit_used_posting,
        transaction__kind__in=SPENDING,
    )


def find_team(actor: Actor, team_id: str) -> Team:
    """The team, if its wallet may be seen; NotFound otherwise."""
    return wallets.find_wallet(actor=actor, team_id=team_id).team


def terms_of(actor: Actor, team: Team) -> Terms:
    """The team's terms as they are now."""
    return Terms(
        books.book_of(team.pk, db_now()),
        list(Fee.objects.visible_to(actor).filter(team=team).select_related("team")),
        list(Commitment.objects.visible_to(actor).filter(team=team).select_related("team")),
    )


def progress(actor: Actor, promised: Iterable[Commitment], now: datetime) -> list[tuple[Commitment, Decimal]]:
    """The commitments that run, each with what has been used of its products in the month so far."""
    today = now.astimezone(UTC).date()
    found = []
    for one in promised:
        if one.starts_on > today or (one.ends_on is not None and one.ends_on <= today):
            continue
        since = max(today.replace(day=1), one.starts_on)
        days = UsageDay.objects.visible_to(actor, Permission.BILLING_READ).filter(
            team_id=one.team_id, day__gte=since, product__startswith=one.products
        )
        used = days.exclude(product__in=("fee", "commitment")).aggregate(s=Sum("amount"))["s"]
        found.append((one, used or ZERO))
    return found
