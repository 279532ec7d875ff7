"""The words payments are spoken to in, and the limits they keep to."""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from apps.core.actor import PLATFORM, Actor
from apps.core.money import minor_digits
from apps.core.permissions import Permission

# Who speaks when a message carries a good signature.
PROVIDER = Actor("payment provider", {PLATFORM: frozenset({Permission.BILLING_MANAGE})})

# In units of the currency; providers refuse less, and more is a typing error.
LEAST = Decimal(1)
MOST = Decimal(1_000_000)

# How soon a waiting payment is looked at again without a message from its provider; then ever later.
LOOK_AGAIN = timedelta(minutes=1)
LOOK_AT_MOST = timedelta(hours=6)
# A checkout page is open for a day; what is waiting after that is called off.
OPEN_FOR = timedelta(hours=25)

# Readable on paper and over the telephone: no 0/O, no 1/I.
_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be paid and how: without a saved card the customer is sent to the provider's page."""

    provider: str
    amount: Decimal
    method_id: str | None = None
    is_automatic: bool = False


def new_reference() -> str:
    """What a bank transfer must say, such as `P-7K2M9QXA`."""
    return "P-" + "".join(secrets.choice(_LETTERS) for _each in range(8))


def unit_of(currency: str, *, is_card: bool) -> Decimal:
    """By how much amounts of a currency may differ. Cards count no more finely than by hundredths: their
    networks want the last of a dinar's three decimals to be 0."""
    digits = minor_digits(currency)
    return Decimal(1).scaleb(-(min(digits, 2) if is_card else digits))


def to_minor(amount: Decimal, currency: str) -> int:
    """An amount as providers count it."""
    return int(amount.scaleb(minor_digits(currency)))


def from_minor(amount: int, currency: str) -> Decimal:
    return Decimal(amount).scaleb(-minor_digits(currency))


def later(attempts: int) -> timedelta:
    """When to look again after so many looks."""
    found: timedelta = min(LOOK_AGAIN * 2 ** min(attempts, 10), LOOK_AT_MOST)
    return found
