"""Models that may be served: what they are made of, where their files are, and who may use them."""

from django.apps import AppConfig


class RegistryConfig(AppConfig):
    name = "apps.registry"

    def ready(self) -> None:
        from apps.registry import receivers  # noqa: F401, PLC0415
