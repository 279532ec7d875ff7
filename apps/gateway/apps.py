"""The data plane: /v1, from a key to a metered answer."""

from django.apps import AppConfig


class GatewayConfig(AppConfig):
    name = "apps.gateway"
