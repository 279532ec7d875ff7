"""Writes: prices, wallets, and what resources are charged."""

from apps.billing.services.charging import resume
from apps.billing.services.prices import schedule_price, set_price, withdraw_price
from apps.billing.services.wallets import grant_credit, set_credit_limit, top_up

__all__ = [
    "grant_credit",
    "resume",
    "schedule_price",
    "set_credit_limit",
    "set_price",
    "top_up",
    "withdraw_price",
]
