"""The models that a workspace serves, and those that the provider serves for everybody."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from apps.billing.selectors.tokens import prices_for
from apps.core.money import plain
from apps.core.permissions import Permission
from apps.inference.models import Endpoint
from apps.inference.selectors import reading
from apps.panels import endpoints
from apps.panels.kit import Column, Empty, Link, Resource, cells
from apps.registry.states import Modality

LAUNCH = Link(_("Launch a model"), "endpoint-new", Permission.ENDPOINT_CREATE)
SHARED = Link(_("Ready to call"), "endpoints-shared", Permission.ENDPOINT_READ, icon="zap", primary=False)


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
    links = (SHARED, LAUNCH)
    empty = Empty(
        _("No model is served yet"),
        _("Launch one: choose a model and hardware, see the price first, call it with any OpenAI client."),
        LAUNCH,
        icon="rocket",
    )


def _talk_to(view: Any, one: Endpoint) -> str:
    """The playground, where one can be talked to."""
    if one.modality != Modality.CHAT or not view.can(Permission.INFERENCE_USE):
        return ""
    return f"{view.url('playground')}?{urlencode({'model': one.slug})}"


def _priced(kind: str) -> Callable[[Any], Decimal | None]:
    """What a million tokens of a kind cost the team; None where nothing of the kind is sold."""

    def price(one: Any) -> Decimal | None:
        return getattr(one.prices, kind) or None if one.prices else None

    return price


def _price(kind: str, label: Any, priority: int = 1) -> Column:
    of = _priced(kind)

    def cell(one: Any) -> Any:
        price = of(one)
        return cells.muted("–") if price is None else cells.price(price, one.prices.currency)

    def text(one: Any) -> str:
        price = of(one)
        return "" if price is None else plain(price)

    return Column(kind, label, cell, num=True, priority=priority, text=text)


class SharedList(Resource):
    """What everybody may call, with what it costs this team."""

    panel = "console"
    nav = "endpoints"
    permission = Permission.ENDPOINT_READ
    title = _("Ready to call")
    intro = _(
        "Served for everybody, by engines that teams share. You pay by the token; prices are for a million."
    )
    model = Endpoint
    live = "endpoint. price."
    order = "slug"
    search = ("slug", "name", "model_name")
    search_hint = _("Search by name or model")
    links = (LAUNCH,)
    empty = Empty(
        _("Nothing is served for everybody"), _("Launch a model of your own instead."), LAUNCH, icon="zap"
    )
    columns = (
        Column("slug", _("Model name"), sort="slug", main=True, to=_talk_to, mono=True),
        endpoints.STATE,
        endpoints.MODEL,
        Column("modality", _("Kind"), lambda one: Modality(one.modality).label, sort="modality", priority=3),
        Column("isolation", _("Isolation"), lambda one: one.isolation.label, priority=3),
        _price("input", _("Input")),
        _price("cached", _("Cached"), 3),
        _price("output", _("Output")),
        _price("embedding", _("Embedding"), 3),
    )  # fmt: skip

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Endpoints")), self.url("endpoints"))]

    def rows(self) -> QuerySet[Any]:
        return reading.list_shared(actor=self.actor)

    def complete(self, rows: Sequence[Any]) -> None:
        table = prices_for(str(self.team.pk), self.team.currency)
        for one in rows:
            one.prices = table.get(one.price_slug)
