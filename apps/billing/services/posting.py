"""Booking what happens to money besides usage: payments, refunds, taxes, credit notes, costs.

One call, `book`, for all of them: an entry names its accounts, and is booked once per kind and reference.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.db.models import Sum
from django.utils.translation import gettext as _

from apps.billing.errors import NoHeadroom, RepeatedReference
from apps.billing.models import Account, AccountKind, Posting, Transaction, TransactionKind, Wallet
from apps.billing.services.booking import Batch, write
from apps.billing.specs import EPOCH, derived_uuid
from apps.core.clock import db_now
from apps.core.errors import NotFound
from apps.core.ids import decode, encode
from apps.core.money import ZERO, plain


@dataclass(frozen=True, slots=True)
class Entry:
    """What happened: amounts by account (they add up to zero), and a reference that is its own for the kind.

    Positive is credit to the account's owner; `CUSTOMER` is the team's own account. What its balance and
    credit cannot cover is refused, or booked on the account named by `shortfall` instead.
    """

    kind: TransactionKind
    reference: str
    legs: Mapping[AccountKind, Decimal]
    description: str = ""
    at: datetime | None = None
    shortfall: AccountKind | None = None


@dataclass(frozen=True, slots=True)
class Booked:
    """The transaction, whether this call made it, and what the team's balance changed by."""

    transaction: Transaction
    is_new: bool
    change: Decimal


@transaction.atomic
def book(*, team_id: str, entry: Entry, by: str) -> Booked:
    """Book the entry for a team and move its balance; the same kind and reference again changes nothing.

    Raises NoHeadroom when the balance does not cover it, RepeatedReference when the reference was used
    for other amounts. Who may do this is the caller's to ask.
    """
    wallet = _lock_wallet(team_id)
    key = transaction_id(entry.kind, team_id, entry.reference)
    known = Transaction.objects.filter(pk=encode("ltx", key)).first()
    if known is not None:
        return Booked(_same_as_before(known, entry), False, change_of(known.pk, team_id))
    legs = _covered(entry, wallet)
    batch, team = Batch(), decode("team", team_id)
    texts = (entry.reference[:120], entry.description[:200], by[:200])
    batch.post(
        (key, str(entry.kind), team, wallet.currency, *texts, entry.at or db_now()),
        *(_leg(batch, wallet, kind, amount) for kind, amount in legs.items()),
    )
    change = legs.get(AccountKind.CUSTOMER, ZERO)
    if change:
        batch.wallets.append((team, change, ZERO))
    write(batch)
    return Booked(Transaction.objects.get(pk=encode("ltx", key)), True, change)


@transaction.atomic
def book_own(*, currency: str, entry: Entry, by: str) -> Booked:
    """The same for what concerns no team: only accounts of our own, such as a payout or a provider's bill."""
    if AccountKind.CUSTOMER in entry.legs:
        raise ValueError("a customer's posting belongs to a team")
    key = transaction_id(entry.kind, currency, entry.reference)
    batch = Batch()
    texts = (entry.reference[:120], entry.description[:200], by[:200])
    batch.post(
        (key, str(entry.kind), None, currency, *texts, entry.at or db_now()),
        *((batch.business_account(kind, currency), None, amount) for kind, amount in entry.legs.items()),
    )
    is_new = write(batch) == 1
    made = Transaction.objects.get(pk=encode("ltx", key))
    return Booked(made if is_new else _same_as_before(made, entry), is_new, ZERO)


def transaction_id(kind: TransactionKind, owner: str, reference: str) -> UUID:
    """The id of what happened; whoever books it again meets it."""
    return derived_uuid(EPOCH, kind, owner, reference)


def change_of(ltx_id: str, team_id: str) -> Decimal:
    """What a transaction did to the team's balance."""
    found = Posting.objects.filter(transaction_id=ltx_id, team_id=team_id).aggregate(s=Sum("amount"))["s"]
    return found or ZERO


def _lock_wallet(team_id: str) -> Wallet:
    wallet: Wallet | None = Wallet.objects.select_for_update().filter(team_id=team_id).first()
    if wallet is None:
        raise NotFound(_("There is no such team."))
    return wallet


def _covered(entry: Entry, wallet: Wallet) -> dict[AccountKind, Decimal]:
    """The legs, the customer's reduced to what can be paid if there is an account for the rest."""
    legs = dict(entry.legs)
    missing = -legs.get(AccountKind.CUSTOMER, ZERO) - max(wallet.available, ZERO)
    if missing <= 0:
        return legs
    if entry.shortfall is None:
        raise NoHeadroom(
            _("The balance does not cover this."),
            available=plain(wallet.available),
            currency=wallet.currency,
        )
    legs[AccountKind.CUSTOMER] += missing
    legs[entry.shortfall] = legs.get(entry.shortfall, ZERO) - missing
    return legs


def _leg(
    batch: Batch, wallet: Wallet, kind: AccountKind, amount: Decimal
) -> tuple[UUID, UUID | None, Decimal]:
    if kind == AccountKind.CUSTOMER:
        return decode("acc", wallet.account_id), decode("team", wallet.team_id), amount
    return batch.business_account(kind, wallet.currency), None, amount


def _same_as_before(known: Transaction, entry: Entry) -> Transaction:
    """The known transaction, if it says the same; where a shortfall may stand, only its other legs count."""
    open_kinds = {AccountKind.CUSTOMER, entry.shortfall} if entry.shortfall else set()
    booked = dict(
        Account.objects.filter(postings__transaction=known)
        .order_by()
        .values_list("kind")
        .annotate(s=Sum("postings__amount"))
    )
    wanted = {str(kind): amount for kind, amount in entry.legs.items() if amount and kind not in open_kinds}
    if wanted != {kind: amount for kind, amount in booked.items() if kind not in open_kinds}:
        raise RepeatedReference(
            _("This reference was used for another amount."), field="reference", transaction=known.pk
        )
    return known
