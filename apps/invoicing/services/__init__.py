"""Writes of invoicing."""

from apps.invoicing.services.credit_notes import CreditWish, credit_invoice, void_invoice
from apps.invoicing.services.finalizing import finalize_invoice, retry_invoice
from apps.invoicing.services.parties import add_tax_rate, create_entity, save_profile, update_entity
from apps.invoicing.services.reminding import remind
from apps.invoicing.services.runs import open_run, resume_run
from apps.invoicing.services.settling import book_payment, give_up_invoice, settle_from_balance

__all__ = [
    "CreditWish",
    "add_tax_rate",
    "book_payment",
    "create_entity",
    "credit_invoice",
    "finalize_invoice",
    "give_up_invoice",
    "open_run",
    "remind",
    "resume_run",
    "retry_invoice",
    "save_profile",
    "settle_from_balance",
    "update_entity",
    "void_invoice",
]
