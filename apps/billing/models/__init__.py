"""Rows of money: prices, wallets, usage, ledger."""

from apps.billing.models.ledger import Account, AccountKind, Posting, Transaction, TransactionKind
from apps.billing.models.prices import PriceVersion
from apps.billing.models.usage import Meter, MeterChange, RatedUsage, UsageDay, UsageInterval
from apps.billing.models.wallets import Hold, Wallet

__all__ = [
    "Account",
    "AccountKind",
    "Hold",
    "Meter",
    "MeterChange",
    "Posting",
    "PriceVersion",
    "RatedUsage",
    "Transaction",
    "TransactionKind",
    "UsageDay",
    "UsageInterval",
    "Wallet",
]
