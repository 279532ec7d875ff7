"""What a customer is asked to pay: invoices, tax, credit notes, exports."""

from django.apps import AppConfig


class InvoicingConfig(AppConfig):
    name = "apps.invoicing"
