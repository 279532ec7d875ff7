"""How money comes in and goes back: providers, methods, top-ups, refunds, reconciliation."""

from django.apps import AppConfig


class PaymentsConfig(AppConfig):
    name = "apps.payments"

    def ready(self) -> None:
        from apps.payments.selectors import proofs  # noqa: PLC0415 - models are loaded now

        proofs.register()
