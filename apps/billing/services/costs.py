"""Booking what providers charge us."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.billing.models import AccountKind, ProviderCost, TransactionKind
from apps.billing.services import posting
from apps.billing.services.posting import Entry
from apps.billing.services.prices import CURRENCY
from apps.core.actor import Actor
from apps.core.errors import Invalid
from apps.core.money import minor_digits, plain
from apps.core.permissions import Permission

MOST = Decimal(10) ** 9


@dataclass(frozen=True, slots=True)
class CostWish:
    """A line of a provider's bill; `ends_on` is its last day, `reference` the bill's own, for good."""

    provider: str
    currency: str
    amount: Decimal
    starts_on: date
    ends_on: date
    reference: str
    product: str = ""
    region_id: str | None = None


@transaction.atomic
def record_cost(*, actor: Actor, wish: CostWish) -> ProviderCost:
    """Book a line of a bill; the same reference again changes nothing, with another amount it is refused."""
    actor.require(Permission.WALLET_CREDIT)
    _check(wish)
    legs = {AccountKind.PROVIDER_COST: -wish.amount, AccountKind.PROVIDERS: wish.amount}
    at = datetime.combine(wish.ends_on, time(), UTC)
    about = f"{wish.provider} {wish.product}".strip()
    entry = Entry(TransactionKind.PROVIDER_COST, wish.reference, legs, about, at)
    booked = posting.book_own(currency=wish.currency, entry=entry, by=actor.label)
    known: ProviderCost | None = ProviderCost.objects.filter(reference=wish.reference).first()
    if known is not None:
        return known
    made: Any = ProviderCost.objects.create(
        provider=wish.provider[:80],
        region_id=wish.region_id,
        product=wish.product[:80],
        currency=wish.currency,
        amount=wish.amount,
        starts_on=wish.starts_on,
        ends_on=wish.ends_on,
        reference=wish.reference,
        transaction_id=booked.transaction.pk,
        created_by=actor.label[:200],
    )
    audit.record(actor=actor, action="provider_cost.recorded", target=made, amount=plain(wish.amount))
    recorded: ProviderCost = made
    return recorded


def _check(wish: CostWish) -> None:
    if not CURRENCY.fullmatch(wish.currency):
        raise Invalid(_("A currency has three capital letters."), field="currency")
    if not wish.amount.is_finite() or not 0 < abs(wish.amount) <= MOST:
        raise Invalid(_("The amount is not zero, and at most a billion."), field="amount")
    if wish.amount != wish.amount.quantize(Decimal(1).scaleb(-minor_digits(wish.currency))):
        raise Invalid(_("The amount has too many decimals for the currency."), field="amount")
    if wish.ends_on < wish.starts_on:
        raise Invalid(_("It ends after it begins."), field="ends_on")
    if not 1 <= len(wish.reference) <= 100 or not wish.reference.isprintable():
        raise Invalid(_("A reference has 1 to 100 characters."), field="reference")
