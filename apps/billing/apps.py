from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "apps.billing"

    def ready(self) -> None:
        from apps.billing import receivers  # noqa: F401, PLC0415 - connects itself
