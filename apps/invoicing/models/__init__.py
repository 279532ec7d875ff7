"""Rows of invoicing: who bills whom under which tax, and what was billed."""

from apps.invoicing.models.credit_notes import CreditNote
from apps.invoicing.models.invoices import Invoice, InvoicedUsage, InvoiceLine, InvoiceRun
from apps.invoicing.models.parties import BillingProfile, DocumentKind, DocumentSequence, LegalEntity, TaxRate
from apps.invoicing.models.reminders import Reminder

__all__ = [
    "BillingProfile",
    "CreditNote",
    "DocumentKind",
    "DocumentSequence",
    "Invoice",
    "InvoiceLine",
    "InvoiceRun",
    "InvoicedUsage",
    "LegalEntity",
    "Reminder",
    "TaxRate",
]
