"""Price curves: what so much of a product costs in a month when the price depends on how much it is.

A curve gives the cost of a whole quantity. Part of the usage costs what the curve gains by it, so that
however usage is cut into parts, the parts add up to the whole, exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Context, Decimal, localcontext
from itertools import pairwise

from apps.billing.specs import SECONDS_PER_HOUR

ZERO = Decimal(0)
PLACES = Decimal(1).scaleb(-12)
_CONTEXT = Context(prec=60, rounding=ROUND_HALF_EVEN)

UNIT, GRADUATED, VOLUME, PACKAGE = "unit", "graduated", "volume", "package"
MODELS = (UNIT, GRADUATED, VOLUME, PACKAGE)


@dataclass(frozen=True, slots=True)
class Tier:
    """A price per unit up to a quantity (None: without end)."""

    up_to: Decimal | None
    price: Decimal


@dataclass(frozen=True, slots=True)
class Curve:
    """The cost of a month's quantity of one product.

    `unit`: price × quantity · `graduated`: each part of the quantity at the price of its tier · `volume`:
    all of it at the price of the tier it ends in · `package`: begun packages of `size` units. The first
    `included` units cost nothing, whichever it is.
    """

    model: str
    unit_price: Decimal
    tiers: tuple[Tier, ...] = ()
    size: Decimal = Decimal(1)
    included: Decimal = ZERO

    def cost(self, units: Decimal) -> Decimal:
        """What so many units cost altogether, to twelve decimals."""
        with localcontext(_CONTEXT):
            charged = max(units - self.included, ZERO)
            return self._exact(charged).quantize(PLACES)

    def cost_between(self, position: Decimal, seconds: Decimal) -> Decimal:
        """What usage costs that comes after `position`; both in unit-seconds (units × 3600)."""
        with localcontext(_CONTEXT):
            before = position / SECONDS_PER_HOUR
            after = (position + seconds) / SECONDS_PER_HOUR
        return self.cost(after) - self.cost(before)

    @property
    def is_plain(self) -> bool:
        """Whether the cost depends on nothing but the part itself."""
        return self.model == UNIT and not self.included

    def _exact(self, units: Decimal) -> Decimal:
        if self.model == GRADUATED:
            return self._graduated(units)
        if self.model == VOLUME:
            return units * self._tier_of(units).price
        if self.model == PACKAGE:
            return (units / self.size).to_integral_value(ROUND_CEILING) * self.unit_price
        return units * self.unit_price

    def _graduated(self, units: Decimal) -> Decimal:
        total, below = ZERO, ZERO
        for tier in self.tiers:
            upto = units if tier.up_to is None else min(units, tier.up_to)
            total += max(upto - below, ZERO) * tier.price
            below = upto
        return total

    def _tier_of(self, units: Decimal) -> Tier:
        for tier in self.tiers:
            if tier.up_to is None or units <= tier.up_to:
                return tier
        return self.tiers[-1]


def tiers_from_json(stored: Sequence[Sequence[str | None]]) -> tuple[Tier, ...]:
    """Tiers as a price version stores them: pairs of bound (None: the last) and price, as text."""
    return tuple(
        Tier(None if bound is None else Decimal(bound), Decimal(price or 0)) for bound, price in stored
    )


def problem_with(curve: Curve) -> str:
    """Why the curve makes no sense; empty when it does."""
    if curve.model not in MODELS:
        return "model"
    if curve.included < 0 or curve.unit_price < 0:
        return "included"
    if curve.model == PACKAGE and curve.size <= 0:
        return "package_size"
    if curve.model in (GRADUATED, VOLUME):
        return _problem_with_tiers(curve.tiers)
    return "tiers" if curve.tiers else ""


def _problem_with_tiers(tiers: Sequence[Tier]) -> str:
    bounds = [tier.up_to for tier in tiers]
    if not bounds or bounds[-1] is not None or any(bound is None for bound in bounds[:-1]):
        return "tiers"
    ordered = [ZERO, *(bound for bound in bounds if bound is not None)]
    if any(low >= high for low, high in pairwise(ordered)):
        return "tiers"
    return "tiers" if any(tier.price < 0 for tier in tiers) else ""
