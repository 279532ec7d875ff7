"""Usage to money, purely: an interval and the price versions in force make rated lines.

Lines are cut where the price changes and at midnight UTC. Every amount is rounded once, to twelve
decimals, half to even; nothing else is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import lru_cache
from itertools import repeat
from operator import mul

from apps.billing.curves import Curve
from apps.billing.meters import MeterKind
from apps.billing.specs import SECONDS_PER_HOUR, Rate, TokenPrices

PLACES = Decimal(1).scaleb(-12)
ZERO = Decimal(0)
_CONTEXT = Context(prec=60, rounding=ROUND_HALF_EVEN)


class Unpriced(Exception):
    """Part of an interval has no price."""

    def __init__(self, product: str, at: datetime) -> None:
        super().__init__(f"{product} has no price at {at.isoformat()}")
        self.product = product
        self.at = at


@dataclass(frozen=True, slots=True)
class Version:
    """A price per unit (and hour), in force from `start` until `end` (None: until further notice).

    With a curve the cost of a part depends on what was used before it in the month.
    """

    id: str
    product: str
    unit_price: Decimal
    start: datetime
    end: datetime | None = None
    curve: Curve | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One product over a stretch in which neither its price nor the day changes."""

    product: str
    version_id: str
    start: datetime
    end: datetime
    seconds: Decimal
    quantity: Decimal
    unit_price: Decimal
    amount: Decimal
    position: Decimal | None = None
    curve: Curve | None = None

    def placed(self, position: Decimal) -> "Line":
        """The line at its place on the month's price curve."""
        if self.curve is None:
            return self
        amount = self.curve.cost_between(position, self.unit_seconds)
        return replace(self, amount=amount, position=position)

    @property
    def unit_seconds(self) -> Decimal:
        return self.quantity * self.seconds


def seconds_between(start: datetime, end: datetime) -> Decimal:
    """Exact to the microsecond."""
    delta = end - start
    return Decimal(delta.days * 86400 + delta.seconds) + Decimal(delta.microseconds).scaleb(-6)


def price_of(quantity: Decimal, unit_price: Decimal, seconds: Decimal) -> Decimal:
    """Quantity × price per hour × time, rounded to twelve decimals."""
    return _exact(_CONTEXT.multiply(quantity, unit_price), seconds, SECONDS_PER_HOUR)


def _exact(one: Decimal, other: Decimal, per: Decimal) -> Decimal:
    """one × other / per, rounded to twelve decimals and nowhere before; whatever the thread's context is."""
    return _CONTEXT.quantize(_CONTEXT.divide(_CONTEXT.multiply(one, other), per), PLACES)


def hourly(rates: Iterable[Rate], prices: dict[str, Decimal]) -> Decimal:
    """What the rates cost per hour at the given unit prices."""
    return sum((rate.quantity * prices[rate.product] for rate in rates), Decimal(0)).quantize(PLACES)


@lru_cache(maxsize=10_000)
def token_rate(price: Decimal | None) -> int:
    """A price per 1,000,000 tokens, which has twelve decimals, as whole attos (10⁻¹⁸) a token; none is 0."""
    return int(_CONTEXT.scaleb(price, 12)) if price else 0


def token_picos(rates: Iterable[int], counts: Iterable[int]) -> list[int]:
    """Tokens × rate, each rounded half to even to whole picos: an amount's twelve decimals."""
    attos = map(mul, rates, counts)
    return [
        picos if rest < 500_000 else picos + (rest > 500_000 or picos & 1)
        for picos, rest in map(divmod, attos, repeat(1_000_000))
    ]


def of_picos(picos: int) -> Decimal:
    return _CONTEXT.scaleb(Decimal(picos), -12)


def token_amounts(prices: Sequence[Decimal | None], counts: Sequence[int]) -> list[Decimal]:
    """Tokens × price per 1,000,000, kind by kind, each rounded to twelve decimals; without price, 0."""
    return [of_picos(picos) for picos in token_picos([token_rate(price) for price in prices], counts)]


def token_rates(prices: TokenPrices) -> tuple[int, int, int, int]:
    """Of input, cached, output and embedding tokens."""
    unit = (prices.input, prices.cached, prices.output, prices.embedding)
    into, cached, out, embedding = map(token_rate, unit)
    return into, cached, out, embedding


def token_cost(prices: TokenPrices, counts: Sequence[int]) -> Decimal:
    """What a request costs: counts of input, cached, output and embedding tokens, in this order."""
    return of_picos(sum(token_picos(token_rates(prices), counts)))


def event_amount(quantity: Decimal, meter: MeterKind, version: Version, position: Decimal | None) -> Decimal:
    """What an event costs: quantity × price, or what the price curve gains by it from its position on."""
    if version.curve is None:
        return _exact(quantity, version.unit_price, meter.per)
    return version.curve.cost_between(position or ZERO, meter.units(quantity) * SECONDS_PER_HOUR)


def rate_interval(
    start: datetime, end: datetime, rates: Iterable[Rate], versions: Sequence[Version]
) -> list[Line]:
    """Every line of the interval [start, end), by product and time; raises Unpriced on any gap."""
    lines = []
    for rate in rates:
        at = start
        for version in sorted((v for v in versions if v.product == rate.product), key=lambda v: v.start):
            upto = end if version.end is None else min(end, version.end)
            if version.start > at:
                break
            while at < upto:
                until = min(upto, _midnight_after(at))
                lines.append(_line(rate, version, at, until))
                at = until
        if at < end:
            raise Unpriced(rate.product, at)
    return lines


def total(lines: Iterable[Line]) -> Decimal:
    return sum((line.amount for line in lines), Decimal(0))


def _midnight_after(at: datetime) -> datetime:
    day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day + timedelta(days=1)


def _line(rate: Rate, version: Version, start: datetime, end: datetime) -> Line:
    seconds = seconds_between(start, end)
    amount = price_of(rate.quantity, version.unit_price, seconds)
    price, curve = version.unit_price, version.curve
    return Line(rate.product, version.id, start, end, seconds, rate.quantity, price, amount, curve=curve)


def overlay(base: Iterable[Version], own: Sequence[Version]) -> list[Version]:
    """One's own prices, and the common ones wherever and whenever there is none of one's own."""
    found = list(own)
    for version in base:
        rest = [version]
        for other in own:
            if other.product == version.product:
                rest = [part for piece in rest for part in _without(piece, other)]
        found += rest
    return found


def clip(version: Version, start: datetime, end: datetime | None) -> Version | None:
    """The part of the version's time that lies within the span; None when there is none."""
    first = max(version.start, start)
    last = version.end if end is None else end if version.end is None else min(version.end, end)
    if last is not None and last <= first:
        return None
    return replace(version, start=first, end=last)


def _without(version: Version, other: Version) -> list[Version]:
    before = clip(version, version.start, other.start) if version.start < other.start else None
    after = clip(version, other.end, None) if other.end is not None else None
    return [part for part in (before, after) if part is not None]
