"""What invoicing tells those above it."""

from django.dispatch import Signal

invoice_finalized = Signal()
"""Sent with `invoice_id` inside the transaction that gives an invoice its number."""

invoice_paid = Signal()
"""Sent with `invoice_id` inside the transaction that settles an invoice."""
