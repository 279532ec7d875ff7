"""Rows of money: prices, wallets, usage, ledger."""

from apps.billing.models.budgets import Budget, BudgetAlert
from apps.billing.models.costs import ProviderCost, ProviderDay, ProviderRate
from apps.billing.models.events import UnratedEvent, UsageEvent
from apps.billing.models.grants import CreditGrant, GrantUse, Voucher
from apps.billing.models.ledger import Account, AccountKind, Posting, Transaction, TransactionKind
from apps.billing.models.notices import Notice
from apps.billing.models.prices import PriceVersion
from apps.billing.models.quarantine import Quarantined
from apps.billing.models.terms import Commitment, Fee, PriceList, PriceListChoice
from apps.billing.models.tokens import TokenRequest
from apps.billing.models.usage import Meter, MeterChange, RatedUsage, UsageDay, UsageInterval
from apps.billing.models.wallets import Hold, Wallet

__all__ = [
    "Account",
    "AccountKind",
    "Budget",
    "BudgetAlert",
    "Commitment",
    "CreditGrant",
    "Fee",
    "GrantUse",
    "Hold",
    "Meter",
    "MeterChange",
    "Notice",
    "Posting",
    "PriceList",
    "PriceListChoice",
    "PriceVersion",
    "ProviderCost",
    "ProviderDay",
    "ProviderRate",
    "Quarantined",
    "RatedUsage",
    "TokenRequest",
    "Transaction",
    "TransactionKind",
    "UnratedEvent",
    "UsageDay",
    "UsageEvent",
    "UsageInterval",
    "Voucher",
    "Wallet",
]
