"""Columns of price lists, the same in the Console and the Admin panel."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext_lazy as _

from apps.billing.meters import METERS
from apps.billing.models import PriceVersion
from apps.billing.specs import HOURS_PER_DAY, HOURS_PER_MONTH
from apps.core.money import plain
from apps.panels.kit import Column, cells

HOUR = "hour"
_UNITS = {meter.product.partition(":")[0]: meter.unit for meter in METERS.values()}
_WORDS: dict[str, Any] = {
    HOUR: _("hour"),
    "1M tokens": _("million tokens"),
    "1000 requests": _("thousand requests"),
    "1000 pages": _("thousand pages"),
    "1000 queries": _("thousand queries"),
    "build": _("build"),
}


def unit_of(product: str) -> str:
    """What one of a product is: its price is for this much."""
    return _UNITS.get(product.partition(":")[0], HOUR)


def unit_word(product: str) -> Any:
    """The same in words."""
    return _WORDS.get(unit_of(product), unit_of(product))


def _for_hours(hours: int | Decimal, shown: Callable[..., Any]) -> Callable[[PriceVersion], Any]:
    def cell(one: PriceVersion) -> Any:
        is_hourly = unit_of(one.product) == HOUR
        return shown(one.unit_price * hours, one.currency) if is_hourly else cells.NONE

    return cell


def _text_for_hours(hours: int | Decimal) -> Callable[[PriceVersion], str]:
    return lambda one: plain(one.unit_price * hours) if unit_of(one.product) == HOUR else ""


PRICE = Column(
    "hour",
    _("Price"),
    lambda one: cells.price(one.unit_price, one.currency),
    sort="unit_price",
    num=True,
    text=lambda one: plain(one.unit_price),
)
UNIT = Column(
    "unit",
    _("Per"),
    lambda one: unit_word(one.product),
    text=lambda one: unit_of(one.product),
)
DAY = Column(
    "day",
    _("Per day"),
    _for_hours(HOURS_PER_DAY, cells.price),
    num=True,
    priority=2,
    text=_text_for_hours(HOURS_PER_DAY),
)
MONTH = Column(
    "month",
    _("Per month"),
    _for_hours(HOURS_PER_MONTH, cells.money),
    num=True,
    priority=2,
    text=_text_for_hours(HOURS_PER_MONTH),
)
