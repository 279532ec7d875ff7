"""Credit that is given: grants with an order and an end, and vouchers that turn into them.

A grant is ordinary balance with a note: which part of what the team spends is paid from it is worked out
afterwards, in spans of time, so that charging never waits for it.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import F, Sum
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.billing.models import (
    AccountKind,
    CreditGrant,
    GrantUse,
    Transaction,
    TransactionKind,
    Voucher,
    Wallet,
)
from apps.billing.selectors.terms import unassigned
from apps.billing.services import posting
from apps.billing.services.amounts import check_amount
from apps.billing.services.posting import Entry
from apps.core import tenancy
from apps.core.actor import Actor, team_scope
from apps.core.clock import db_now
from apps.core.errors import Conflict, Invalid, NotFound
from apps.core.ids import decode
from apps.core.money import ZERO, plain
from apps.core.permissions import Permission
from apps.operations.services import emit
from apps.teams.models import Team

PRIORITY, INCLUDED_PRIORITY = 50, 10
MOST_CODES = 500
SOURCES = {TransactionKind.GRANT: AccountKind.GRANTS, TransactionKind.VOUCHER: AccountKind.VOUCHERS}
ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


@dataclass(frozen=True, slots=True)
class NewGrant:
    """Credit to be given; the same kind and reference again changes nothing."""

    amount: Decimal
    reason: str
    reference: str
    kind: TransactionKind = TransactionKind.GRANT
    priority: int = PRIORITY
    expires_at: datetime | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewVoucher:
    """A voucher to be made: so much credit, for so many teams, until when, and how long the credit lasts."""

    name: str
    currency: str
    amount: Decimal
    uses: int = 1
    valid_until: datetime | None = None
    credit_days: int | None = None


@transaction.atomic
def give(*, team_id: str, new: NewGrant, by: str) -> tuple[Transaction, bool]:
    """Book a grant, once per kind and reference; whether it is new. Who may is the caller's to ask."""
    legs = {AccountKind.CUSTOMER: new.amount, SOURCES[new.kind]: -new.amount}
    booked = posting.book(
        team_id=team_id, entry=Entry(new.kind, new.reference, legs, new.reason, new.at), by=by
    )
    if booked.is_new:
        assign(team_id=team_id)
        CreditGrant.objects.create(
            team_id=team_id,
            transaction_id=booked.transaction.pk,
            reason=new.reason[:200],
            amount=new.amount,
            remaining=new.amount,
            priority=new.priority,
            expires_at=new.expires_at,
        )
    return booked.transaction, booked.is_new


@transaction.atomic
def assign(*, team_id: str) -> Decimal:
    """Assign what was spent since the last time to the team's grants, in their order; how much they paid.

    What counts is the order in which postings were made, not when they are dated: a month's fee, and a
    meter that catches up, are dated back.
    """
    wallet: Wallet = Wallet.objects.select_for_update().get(team_id=team_id)
    months = unassigned(wallet)
    if not months:
        return ZERO
    wallet.credit_used_posting = max(one["last"] for one in months)
    wallet.save(update_fields=["credit_used_posting"])
    return sum((_use(team_id, one["month"], -one["spent"]) for one in months), ZERO)


@transaction.atomic
def own_money(*, team_id: str) -> Decimal:
    """What of the team's balance is free and was paid in: without credit that was given and is left, nor
    what it may owe."""
    assign(team_id=team_id)
    wallet: Wallet = Wallet.objects.get(team_id=team_id)  # locked by that
    grants = CreditGrant.objects.filter(team_id=team_id, expired_at=None)
    given: Decimal = grants.aggregate(s=Sum("remaining"))["s"] or ZERO
    own: Decimal = wallet.balance - wallet.held - given
    return own


@transaction.atomic
def used(*, team_id: str, start: datetime, end: datetime) -> dict[str, Decimal]:
    """By grant (id): how much of what was charged in the months (UTC) from `start` up to `end` it paid."""
    assign(team_id=team_id)
    found = GrantUse.objects.filter(team_id=team_id, since__gte=start, until__lte=end).order_by()
    return {str(grant): amount for grant, amount in found.values_list("grant_id").annotate(s=Sum("amount"))}


def expire_due(*, now: datetime | None = None) -> int:
    """Take back what is left of grants that have lapsed; how many. What is held for now waits."""
    moment = now or db_now()
    due = CreditGrant.objects.filter(expires_at__lte=moment, expired_at=None).order_by("team", "id")
    return sum(_expire(grant_id, moment) for grant_id in due.values_list("pk", flat=True))


@transaction.atomic
def create_voucher(*, actor: Actor, new: NewVoucher) -> tuple[Voucher, str]:
    """Make a voucher; its code is told once and cannot be read again."""
    actor.require(Permission.WALLET_CREDIT)
    check_amount(new.amount, new.currency)
    code = "-".join("".join(secrets.choice(ALPHABET) for _n in range(5)) for _group in range(4))
    voucher: Voucher = Voucher.objects.create(
        code_hash=_hash(code),
        hint=code[:5],
        name=new.name[:120],
        currency=new.currency,
        amount=new.amount,
        uses_left=new.uses,
        valid_until=new.valid_until,
        credit_days=new.credit_days,
        created_by=actor.label[:200],
    )
    audit.record(actor=actor, action="voucher.created", target=voucher, amount=plain(new.amount))
    return voucher, code


@transaction.atomic
def create_vouchers(*, actor: Actor, new: NewVoucher, count: int) -> list[tuple[Voucher, str]]:
    """Make so many of the same, each with a code of its own."""
    if not 1 <= count <= MOST_CODES:
        raise Invalid(_("Between 1 and %(most)s codes at a time.") % {"most": MOST_CODES}, field="count")
    return [create_voucher(actor=actor, new=new) for _number in range(count)]


@transaction.atomic
def redeem(*, actor: Actor, team: Team, code: str) -> Transaction:
    """Turn a voucher's code into credit for the team; once per team, while it is valid and has uses left."""
    actor.require(Permission.BILLING_MANAGE, team_scope(team.pk))
    with tenancy.everything():
        voucher = _take_voucher(code, team.currency)
        reference = f"voucher {voucher.pk}"
        if Transaction.objects.filter(kind=TransactionKind.VOUCHER, team=team, reference=reference).exists():
            raise Conflict(_("Your team has used this voucher already."), code="voucher_used", field="code")
        days = voucher.credit_days
        new = NewGrant(
            voucher.amount,
            voucher.name,
            reference,
            TransactionKind.VOUCHER,
            expires_at=db_now() + timedelta(days=days) if days else None,
        )
        made, _is_new = give(team_id=team.pk, new=new, by=actor.label)
        audit.record(actor=actor, action="voucher.redeemed", target=voucher, team=team.pk)
        emit(type="wallet.voucher", subject=team.pk, team_id=team.pk, data={"amount": plain(voucher.amount)})
    return made


def worth(made: Transaction) -> Decimal:
    """How much a grant or voucher came to."""
    return posting.change_of(made.pk, str(made.team_id))


def _take_voucher(code: str, currency: str) -> Voucher:
    """The voucher with one use less; NotFound alike for a wrong, an old and a used-up code."""
    found: Voucher | None = (
        Voucher.objects.select_for_update().filter(code_hash=_hash(code), currency=currency).first()
    )
    is_over = found is not None and found.valid_until is not None and found.valid_until <= db_now()
    if found is None or is_over or found.uses_left == 0:
        raise NotFound(_("This code is not valid, or no longer."), field="code")
    Voucher.objects.filter(pk=found.pk).update(uses_left=F("uses_left") - 1)
    return found


def _hash(code: str) -> bytes:
    return hashlib.sha256("".join(code.upper().split()).replace("-", "").encode()).digest()


def _use(team_id: str, month: datetime, spent: Decimal) -> Decimal:
    """Take what was spent in a month from the grants; how much of it they had."""
    left, until = spent, (month + timedelta(days=31)).replace(day=1)
    for grant in CreditGrant.objects.filter(team_id=team_id, remaining__gt=0, expired_at=None):
        used = min(grant.remaining, left)
        if used <= 0:
            break
        left -= used
        grant.remaining -= used
        grant.save(update_fields=["remaining"])
        GrantUse.objects.create(grant=grant, team_id=team_id, amount=used, since=month, until=until)
    return max(spent - left, ZERO)


@transaction.atomic
def _expire(grant_id: str, now: datetime) -> bool:
    team_id = str(CreditGrant.objects.values_list("team_id", flat=True).get(pk=grant_id))
    wallet: Wallet = Wallet.objects.select_for_update().get(team_id=team_id)
    assign(team_id=team_id)
    grant: CreditGrant = CreditGrant.objects.select_for_update().get(pk=grant_id)
    if grant.expired_at is not None or grant.remaining > wallet.available:
        return False
    if grant.remaining:
        legs = {AccountKind.CUSTOMER: -grant.remaining, AccountKind.EXPIRED: grant.remaining}
        entry = Entry(TransactionKind.EXPIRY, str(decode("cgr", grant.pk)), legs, grant.reason, now)
        posting.book(team_id=team_id, entry=entry, by="")
    grant.expired_at = now
    grant.save(update_fields=["expired_at"])
    return True
