"""Amounts of money: exact decimals with a currency, rounded in one place only."""

from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal
from typing import Any

from django.db import models

WITHOUT_DECIMALS = (
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF",
    "XPF",
)  # fmt: skip
THREE_DECIMALS = ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")
MINOR_DIGITS = {**dict.fromkeys(WITHOUT_DECIMALS, 0), **dict.fromkeys(THREE_DECIMALS, 3)}
DEFAULT_CURRENCY = "EUR"
ZERO = Decimal(0)


def minor_digits(currency: str) -> int:
    """How many decimals the currency has (ISO 4217)."""
    return MINOR_DIGITS.get(currency, 2)


def round_minor(amount: Decimal, currency: str) -> Decimal:
    """The amount in whole minor units, half to even."""
    return amount.quantize(Decimal(1).scaleb(-minor_digits(currency)), rounding=ROUND_HALF_EVEN)


def round_up(amount: Decimal, currency: str) -> Decimal:
    """What must be there at least, in whole minor units."""
    return amount.quantize(Decimal(1).scaleb(-minor_digits(currency)), rounding=ROUND_CEILING)


def plain(amount: Decimal) -> str:
    """The amount as an API shows it: no exponent, no trailing zeros."""
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


class AmountField(models.DecimalField):  # type: ignore[type-arg]
    """An amount: numeric(38,12)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "max_digits": 38, "decimal_places": 12})


class PriceField(models.DecimalField):  # type: ignore[type-arg]
    """A price per unit: numeric(28,12)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "max_digits": 28, "decimal_places": 12})
