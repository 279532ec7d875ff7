"""The small forms about one of the provider's own endpoints."""

from apps.panels import endpoint_forms


class Scale(endpoint_forms.Scale):
    panel = "admin"


class Deploy(endpoint_forms.Deploy):
    panel = "admin"


class Canary(endpoint_forms.Canary):
    panel = "admin"


class Weigh(endpoint_forms.Weigh):
    panel = "admin"
