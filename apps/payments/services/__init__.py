"""Writes of payments."""

from apps.payments.services.comparing import explain
from apps.payments.services.inbox import receive_message
from apps.payments.services.methods import (
    AutoWish,
    begin_card_setup,
    remove_method,
    save_auto_top_up,
    set_default_method,
)
from apps.payments.services.paying import begin_top_up, cancel_payment, pay_invoice, record_transfer
from apps.payments.services.refunds import approve_refund, reject_refund, request_refund

__all__ = [
    "AutoWish",
    "approve_refund",
    "begin_card_setup",
    "begin_top_up",
    "cancel_payment",
    "explain",
    "pay_invoice",
    "receive_message",
    "record_transfer",
    "reject_refund",
    "remove_method",
    "request_refund",
    "save_auto_top_up",
    "set_default_method",
]
