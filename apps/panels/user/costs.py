"""What a launch would cost, beside its form: per hour, day and month, and how long the money then lasts."""

from decimal import Decimal
from typing import Any

from apps.billing.models import Wallet
from apps.billing.selectors import wallets
from apps.panels.kit import cells


def cost_of(wallet: Wallet | None, hourly: Decimal, currency: str) -> dict[str, Any]:
    """For the summary's template; without a wallet nothing is said of the balance."""
    shown: dict[str, Any] = {
        "hourly": cells.price(hourly, currency),
        "daily": cells.money(hourly * 24, currency),
        "monthly": cells.money(hourly * 24 * 30, currency),
    }
    if wallet is None:
        return shown
    money = wallets.balance_in(wallet)
    hours = wallets.hours_left(money.spendable, money.burn + hourly)
    return shown | {
        "balance": cells.money(money.balance, currency),
        "lasts": cells.duration(float(hours) * 3600) if hours is not None else "",
        "is_low": hours is not None and hours < 24,
    }
