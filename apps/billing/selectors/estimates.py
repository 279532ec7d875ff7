"""What a launch would cost before it happens: per hour and month, and how long the money lasts."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from apps.billing import rating
from apps.billing.errors import NoPrice
from apps.billing.models import Wallet
from apps.billing.rating import PLACES, Version
from apps.billing.selectors import books, wallets
from apps.billing.specs import HOURS_PER_MONTH, SECONDS_PER_HOUR, Rate, merged
from apps.core.errors import NotFound
from apps.core.money import ZERO


@dataclass(frozen=True, slots=True)
class EstimateLine:
    """One product: its price and what it comes to. `spot_hourly` is the same on spot, where that is sold."""

    product: str
    quantity: Decimal
    unit: str
    unit_price: Decimal
    hourly: Decimal
    monthly: Decimal
    version_id: str
    spot_hourly: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What something would cost in a month of so many hours, at today's prices and the team's terms."""

    currency: str
    hours: Decimal
    lines: tuple[EstimateLine, ...]
    hourly: Decimal
    monthly: Decimal
    runway_hours: Decimal | None

    def without_balance(self) -> "Estimate":
        """The same for somebody who may know prices, but not the balance."""
        return replace(self, runway_hours=None)

    @property
    def daily(self) -> Decimal:
        return self.hourly * 24


@dataclass(frozen=True, slots=True)
class Counted:
    """Something that is counted rather than timed: so many units of a product in a month."""

    product: str
    quantity: Decimal
    unit: str


def estimate(
    rates: Iterable[Rate],
    *,
    team_id: str,
    at: datetime,
    hours: Decimal = Decimal(HOURS_PER_MONTH),
    counted: Iterable[Counted] = (),
) -> Estimate:
    """Price it by the team's list, price curves included; raises NoPrice for what is not sold."""
    wallet = Wallet.objects.filter(team_id=team_id).first()
    if wallet is None:
        raise NotFound("There is no such team.")
    wanted, extra = merged(rates), list(counted)
    products = {rate.product for rate in wanted} | {one.product for one in extra}
    spot = {f"{rate.product}:spot" for rate in wanted}
    book = books.versions(products | spot, {team_id: wallet.currency}, start=at, end=at)[team_id]
    found = {v.product: v for v in book if v.start <= at and (v.end is None or v.end > at)}
    lines = [_timed(rate, found, hours, wallet.currency) for rate in wanted]
    lines += [_counted(one, found, wallet.currency) for one in extra]
    hourly = sum((line.hourly for line in lines), ZERO)
    monthly = sum((line.monthly for line in lines), ZERO)
    runway = wallets.runway(team_id, extra=hourly)
    return Estimate(wallet.currency, hours, tuple(lines), hourly, monthly, runway)


def _timed(rate: Rate, found: dict[str, Version], hours: Decimal, currency: str) -> EstimateLine:
    version = _version(rate.product, found, currency)
    hourly = (rate.quantity * version.unit_price).quantize(PLACES)
    seconds = rate.quantity * hours * SECONDS_PER_HOUR
    monthly = (
        version.curve.cost_between(ZERO, seconds)
        if version.curve
        else rating.price_of(rate.quantity, version.unit_price, hours * SECONDS_PER_HOUR)
    )
    spot = found.get(f"{rate.product}:spot")
    other = (rate.quantity * spot.unit_price).quantize(PLACES) if spot else None
    return EstimateLine(
        rate.product, rate.quantity, "hour", version.unit_price, hourly, monthly, version.id, other
    )


def _counted(one: Counted, found: dict[str, Version], currency: str) -> EstimateLine:
    version = _version(one.product, found, currency)
    monthly = (
        version.curve.cost_between(ZERO, one.quantity * SECONDS_PER_HOUR)
        if version.curve
        else (one.quantity * version.unit_price).quantize(PLACES)
    )
    return EstimateLine(one.product, one.quantity, one.unit, version.unit_price, ZERO, monthly, version.id)


def _version(product: str, found: dict[str, Version], currency: str) -> Version:
    version = found.get(product)
    if version is None:
        raise NoPrice(f"{product} has no price in {currency}.", product=product)
    return version
