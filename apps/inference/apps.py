"""Served models: endpoints, the replicas that answer for them, and what callers may ask of them."""

from django.apps import AppConfig


class InferenceConfig(AppConfig):
    name = "apps.inference"

    def ready(self) -> None:
        from apps.inference import receivers  # noqa: F401, PLC0415
