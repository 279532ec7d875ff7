"""What an amount of money that somebody types must be."""

from decimal import Decimal

from django.utils.translation import gettext as _

from apps.core.errors import Invalid
from apps.core.money import minor_digits

MOST = Decimal(10) ** 9


def check_amount(
    amount: Decimal, currency: str, *, is_zero_allowed: bool = False, field: str = "amount"
) -> None:
    """Raise Invalid unless it is positive, not absurd, and can be paid in the currency."""
    if not amount.is_finite() or amount < 0 or (amount == 0 and not is_zero_allowed) or amount > MOST:
        raise Invalid(_("The amount must be positive, and at most a billion."), field=field)
    digits = minor_digits(currency)
    if amount != amount.quantize(Decimal(1).scaleb(-digits)):
        about = {"currency": currency, "digits": digits}
        raise Invalid(_("%(currency)s has %(digits)s decimals.") % about, field=field)
