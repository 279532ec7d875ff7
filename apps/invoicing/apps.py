"""What a customer is asked to pay: invoices, tax, credit notes, exports."""

from django.apps import AppConfig


class InvoicingConfig(AppConfig):
    name = "apps.invoicing"

    def ready(self) -> None:
        from apps.invoicing.selectors import proofs  # noqa: PLC0415 - models are loaded now

        proofs.register()
