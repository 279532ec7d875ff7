"""The words billing is spoken to in: rates, quotes, and the terms under which it charges."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from apps.core.money import plain

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECONDS_PER_HOUR = Decimal(3600)
HOURS_PER_DAY = 24
HOURS_PER_MONTH = 730

# A meter is cut this long after its last cut; the poller comes every few seconds, so no interval
# passes 60 s while it runs.
CUT_EVERY = timedelta(seconds=50)
# What a running resource may use before it is cut again is held in advance. The grace period is
# shorter than that, so that what is used until the stop has normally been held already.
HOLD_AHEAD = timedelta(minutes=5)
GRACE = timedelta(minutes=3)
# A launch needs the price of this long, held for as long as provisioning may take.
RESERVE_FOR = timedelta(minutes=10)
RESERVE_TTL = timedelta(minutes=60)
HOLD_TTL = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Rate:
    """So many units of a product, charged by time: one machine, 40 GiB of disk, two GPUs."""

    product: str
    quantity: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True)
class QuoteLine:
    """One product in a quote; `unit_price` is per unit and hour."""

    product: str
    quantity: Decimal
    unit_price: Decimal
    hourly: Decimal
    version_id: str


@dataclass(frozen=True, slots=True)
class Quote:
    """What some rates cost at a moment: per hour, day (24 h) and month (730 h), in the team's currency."""

    currency: str
    lines: tuple[QuoteLine, ...]
    hourly: Decimal

    @property
    def daily(self) -> Decimal:
        return self.hourly * HOURS_PER_DAY

    @property
    def monthly(self) -> Decimal:
        return self.hourly * HOURS_PER_MONTH


def merged(rates: Iterable[Rate]) -> tuple[Rate, ...]:
    """The rates with each product once, in order of product; zero quantities fall away."""
    total: dict[str, Decimal] = {}
    for rate in rates:
        if rate.quantity < 0 or not rate.quantity.is_finite():
            raise ValueError(f"{rate.product}: a quantity cannot be {rate.quantity}")
        total[rate.product] = total.get(rate.product, Decimal(0)) + rate.quantity
    return tuple(Rate(product, total[product]) for product in sorted(total) if total[product])


def as_json(rates: Iterable[Rate]) -> list[list[str]]:
    """The rates as they are stored: exact, comparable, in order."""
    return [[rate.product, plain(rate.quantity)] for rate in merged(rates)]


def as_json_text(rates: Iterable[Rate]) -> str:
    return json.dumps(as_json(rates))


def from_json(stored: Iterable[Iterable[str]]) -> tuple[Rate, ...]:
    return tuple(Rate(product, Decimal(quantity)) for product, quantity in stored)


def derived_uuid(at: datetime, *parts: str) -> UUID:
    """The same UUIDv7 for the same moment and parts, whoever makes it: repeats meet themselves."""
    digest = int.from_bytes(hashlib.sha256("|".join(parts).encode()).digest()[:10])
    milliseconds = (at - EPOCH) // timedelta(milliseconds=1)
    return UUID(
        int=milliseconds << 80 | 7 << 76 | (digest >> 62 & 0xFFF) << 64 | 2 << 62 | digest & (1 << 62) - 1
    )
