"""The words invoicing is spoken to in: spans of time, parties, and lines with their amounts."""

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from apps.core.money import ZERO, minor_digits, plain

# Usage of a closed month is still taken for this long; then its invoice is final.
GRACE = timedelta(hours=1)
# An overdue invoice is reminded of so long after it was due, each level once.
REMINDERS = (timedelta(days=3), timedelta(days=10), timedelta(days=21))


@dataclass(frozen=True, slots=True)
class Period:
    """From `start` up to, not including, `end`; a calendar month in UTC unless somebody says otherwise."""

    start: datetime
    end: datetime

    @classmethod
    def month(cls, year: int, month: int) -> "Period":
        start = datetime(year, month, 1, tzinfo=UTC)
        following = (year + month // 12, month % 12 + 1)
        return cls(start, datetime(*following, 1, tzinfo=UTC))

    @classmethod
    def before(cls, moment: datetime) -> "Period":
        """The last month that was over at the moment."""
        last = date(moment.astimezone(UTC).year, moment.astimezone(UTC).month, 1) - timedelta(days=1)
        return cls.month(last.year, last.month)

    @property
    def label(self) -> str:
        return f"{self.start:%Y-%m}"


@dataclass(frozen=True, slots=True)
class TaxRule:
    """A rate of a country from a day on, for products whose name begins with `category` (all: "").

    `rate` is a fraction. `reverse_charge`: a business abroad with a tax number accounts for it itself.
    """

    id: str
    country: str
    category: str
    name: str
    rate: Decimal
    is_inclusive: bool = False
    reverse_charge: bool = False
    valid_from: date = date.min


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used of one product at one price in one workspace: the sum of its rated rows."""

    kind: str
    workspace_id: str
    workspace: str
    product: str
    unit: str
    quantity: Decimal
    unit_price: Decimal
    amount: Decimal
    rows: int


@dataclass(slots=True)
class Line:
    """A line of an invoice; `exact` is what the ledger posted, `amount` what the customer is asked for."""

    kind: str
    description: str
    exact: Decimal
    amount: Decimal
    product: str = ""
    unit: str = ""
    quantity: Decimal = Decimal(1)
    unit_price: Decimal = ZERO
    workspace_id: str | None = None
    workspace: str = ""
    rows: int = 0
    tax_name: str = ""
    tax_rate: Decimal = ZERO
    tax_note: str = ""


@dataclass(slots=True)
class Sums:
    """What an invoice comes to, in whole minor units. `subtotal` is all usage, `discount` what granted
    credit covered of it; `tax` is on top unless it is `is_inclusive`."""

    subtotal: Decimal = ZERO
    exact: Decimal = ZERO
    discount: Decimal = ZERO
    tax: Decimal = ZERO
    total: Decimal = ZERO
    is_inclusive: bool = False
    lines: list[Line] = field(default_factory=list)

    @property
    def surcharge(self) -> Decimal:
        """What is asked for beyond what usage has already been charged: rounding, and tax on top."""
        return self.subtotal - self.exact + (ZERO if self.is_inclusive else self.tax)


def overdue_level(due_at: datetime, now: datetime) -> int:
    """How many reminders are due: 0 for an invoice that is not overdue for long enough."""
    return sum(now >= due_at + after for after in REMINDERS)


_NAMES = {"type": "Machine", "gpu": "GPU", "engine": "Inference engine", "pool": "GPU pool"}
_WORDS = {"disk": "Disk", "ip": "Public address", "fee": "Fee", "commitment": "Missing from the commitment"}
_UNITS = {"hour": "h", "1M tokens": "M tokens"}
_TOKENS = {"input": "input", "cached": "cached input", "output": "output", "embedding": "embedding"}


def describe(product: str) -> str:
    """A product in words, as invoices print it."""
    head, _colon, rest = product.partition(":")
    if head == "tokens":
        slug, _colon, kind = rest.rpartition(":")
        return f"{slug}, {_TOKENS.get(kind, kind)} tokens"
    if head in _NAMES and rest:
        return f"{_NAMES[head]} {rest}"
    return _WORDS.get(product, product)


def unit_word(product: str, unit: str) -> str:
    """What a quantity counts, short enough to stand behind it."""
    return "GiB h" if (product, unit) == ("disk", "hour") else _UNITS.get(unit, unit)


def floor_minor(amount: Decimal, currency: str) -> Decimal:
    """The amount in whole minor units, downwards."""
    return amount.quantize(Decimal(1).scaleb(-minor_digits(currency)), rounding=ROUND_FLOOR)


def allocate(total: Decimal, weights: list[Decimal], currency: str) -> list[Decimal]:
    """Divide whole minor units in proportion, the largest remainders first: the parts add up exactly."""
    whole = sum(weights, ZERO)
    if not whole:
        return [ZERO for _each in weights]
    step = Decimal(1).scaleb(-minor_digits(currency))
    shares = [total * weight / whole for weight in weights]
    parts = [share.quantize(step, rounding=ROUND_FLOOR) for share in shares]
    missing = int((total - sum(parts, ZERO)) / step)
    by_rest = sorted(range(len(parts)), key=lambda n: (parts[n] - shares[n], n))
    for place in by_rest[:missing]:
        parts[place] += step
    return parts


def canonical(content: Any) -> bytes:
    """One text for one content, whoever writes it: sorted keys, amounts without trailing zeros."""
    return json.dumps(
        content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_as_text
    ).encode()


def chained_hash(previous: str, content: Any) -> str:
    """SHA-256 of the document before and this one."""
    return hashlib.sha256(previous.encode() + b"\n" + canonical(content)).hexdigest()


def _as_text(value: Any) -> str:
    if isinstance(value, Decimal):
        return plain(value) if value else "0"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return str(value)
