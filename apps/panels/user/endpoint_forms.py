"""The small forms about one endpoint."""

from apps.panels import endpoint_forms


class Scale(endpoint_forms.Scale):
    panel = "console"


class Deploy(endpoint_forms.Deploy):
    panel = "console"


class Canary(endpoint_forms.Canary):
    panel = "console"


class Weigh(endpoint_forms.Weigh):
    panel = "console"
