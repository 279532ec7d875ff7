"""Rows of payments: customers and methods at a provider, payments, what goes back, and what was heard."""

from apps.payments.models.events import Explanation, Reconciliation, WebhookEvent
from apps.payments.models.methods import AutoTopUp, PaymentCustomer, PaymentMethod
from apps.payments.models.payments import Dispute, Payment, Refund

__all__ = [
    "AutoTopUp",
    "Dispute",
    "Explanation",
    "Payment",
    "PaymentCustomer",
    "PaymentMethod",
    "Reconciliation",
    "Refund",
    "WebhookEvent",
]
