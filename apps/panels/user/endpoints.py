"""The models that a workspace serves."""

from django.utils.translation import gettext_lazy as _

from apps.core.permissions import Permission
from apps.panels import endpoints
from apps.panels.kit import Empty, Link

LAUNCH = Link(_("Launch a model"), "endpoint-new", Permission.ENDPOINT_CREATE)


class EndpointList(endpoints.EndpointList):
    panel = "console"
    columns = (
        endpoints.NAME,
        endpoints.STATE,
        endpoints.MODEL,
        endpoints.COUNT,
        endpoints.REQUESTS,
        endpoints.TAIL,
        endpoints.TOKENS,
        endpoints.REGION,
        endpoints.PRICE,
    )
    order = "-created_at"
    filters = (endpoints.STATE_FILTER, endpoints.REGION_FILTER)
    search = ("slug", "name", "model_name")
    search_hint = _("Search by name or model")
    links = (LAUNCH,)
    empty = Empty(
        _("No model is served yet"),
        _("Launch one: choose a model and hardware, see the price first, call it with any OpenAI client."),
        LAUNCH,
        icon="rocket",
    )
