"""The words billing is spoken to in: rates, quotes, and the terms under which it charges."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
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
# A gateway renews its leases long before this; what a dead one left is given back after it.
LEASE_TTL = timedelta(minutes=10)


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


@dataclass(frozen=True, slots=True)
class Terms:
    """A price list, and what is paid for every month beside it, with the credit that this includes."""

    name: str
    book: str
    fee: Decimal = Decimal(0)
    included: Decimal = Decimal(0)


TOKENS_PER_PRICE = 1_000_000
TOKEN_KINDS = ("input", "cached", "output", "embedding")


@dataclass(frozen=True, slots=True)
class TokenRate:
    """What a provider charges per million tokens; embeddings are input."""

    currency: str
    input: Decimal
    cached: Decimal
    output: Decimal

    @property
    def prices(self) -> tuple[Decimal, Decimal, Decimal]:
        return self.input, self.cached, self.output


@dataclass(frozen=True, slots=True)
class TokenPrices:
    """Prices per 1,000,000 tokens of one model, and the versions they come from, in the order of the kinds.

    A kind that is not sold has the price 0 and no version; cached tokens without a price of their own
    cost what others do.
    """

    currency: str
    input: Decimal
    cached: Decimal
    output: Decimal
    embedding: Decimal
    version_ids: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Every token price at a moment, by price book; a team pays by one book. Reads nothing: a snapshot."""

    books: Mapping[str, Mapping[str, TokenPrices]]
    teams: Mapping[str, str]

    def of(self, team_id: str, slug: str) -> TokenPrices | None:
        """What the team pays for the model; None when it has no price (then it cannot be used)."""
        return self.books.get(self.teams.get(team_id, ""), {}).get(slug)


@dataclass(frozen=True, slots=True)
class Lease:
    """Part of a wallet that a gateway may spend on its own until it expires; `amount` is what is left.

    `budget` is the name of the one that left no more than that; empty when it was none.
    """

    id: str
    amount: Decimal
    currency: str
    expires_at: datetime
    budget: str = ""


@dataclass(frozen=True, slots=True)
class TokenTerms:
    """What many requests have in common: who asked for what, who answered, at which prices, and whose money.

    Requests share the object: what is looked up or checked for it is so once per batch.
    """

    team_id: str
    workspace_id: str
    key_id: str | None
    slug: str
    prices: TokenPrices
    endpoint_id: str | None = None
    replica_id: str | None = None
    lease_id: str | None = None
    digest: str = ""
    is_metered: bool = True  # else its engine's time is paid: the tokens are counted and cost nothing


class TokenUsage(NamedTuple):
    """One request as the gateway reports it; thousands are made a second.

    `request_id` is a UUID's bytes, the moments are microseconds since 1970. `input` counts the tokens that
    were not cached. Its terms say at which prices it was let in: where these are not those of the versions
    they name, its tokens are quarantined, not charged.
    """

    terms: TokenTerms
    request_id: bytes
    input: int
    cached: int
    output: int
    embedding: int
    started_us: int
    finished_us: int
    outcome: str
    stream: bool
    first_ms: int | None = None  # until the caller of a stream was sent its first byte

    @property
    def counts(self) -> tuple[int, int, int, int]:
        return self.input, self.cached, self.output, self.embedding


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a batch: counted now, known before, set aside for a person to look at."""

    counted: int
    duplicates: int
    quarantined: int = 0


@dataclass(frozen=True, slots=True)
class Spender:
    """On whose behalf money is held or spent: budgets may limit each of these."""

    team_id: str
    workspace_id: str | None = None
    key_id: str | None = None
    resource_id: str | None = None
    user_id: str | None = None
