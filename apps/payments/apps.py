"""How money comes in and goes back: providers, methods, top-ups, refunds, reconciliation."""

from django.apps import AppConfig


class PaymentsConfig(AppConfig):
    name = "apps.payments"
