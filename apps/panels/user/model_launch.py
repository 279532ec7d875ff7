"""Launch a model: which one, where, on what, what it costs; the same request as code beside it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django import forms
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _
from pydantic import ValidationError

from apps.billing.errors import NoPrice
from apps.billing.models import PriceVersion
from apps.billing.selectors import prices
from apps.billing.specs import Quote
from apps.core.permissions import Permission
from apps.inference.models import Hardware
from apps.inference.selectors import offers
from apps.inference.services import making
from apps.inference.specs import MOST_CONTEXT, MOST_PARALLEL, EndpointSpec, Recipe, ScaleRules
from apps.inference.states import Isolation
from apps.panels import snippets
from apps.panels.endpoint_forms import refusal
from apps.panels.kit import FormPage, cells
from apps.panels.user.costs import cost_of
from apps.regions.models import Region
from apps.registry import selectors as registry
from apps.registry.models import ModelVersion

MODELS_SHOWN = 60
USUAL_CONTEXT = offers.USUAL_CONTEXT
USUAL = {"least": "1", "most": "1", "parallel": "4", "idle_minutes": "0", "context_length": "0"}


class LaunchFields(forms.Form):
    version = forms.CharField(label=_("Model"), max_length=40)
    region = forms.CharField(label=_("Region"), max_length=40)
    hardware = forms.CharField(label=_("Hardware"), max_length=60)
    slug = forms.CharField(label=_("Name"), max_length=63)
    least = forms.IntegerField(label=_("Least replicas"), min_value=0, max_value=64)
    most = forms.IntegerField(label=_("Most replicas"), min_value=1, max_value=64)
    parallel = forms.IntegerField(label=_("Requests at once"), min_value=1, max_value=256)
    idle_minutes = forms.IntegerField(label=_("Sleeps after, minutes"), min_value=0, max_value=1440)
    context_length = forms.IntegerField(label=_("Context, tokens"), min_value=0, max_value=MOST_CONTEXT)


@dataclass(frozen=True)
class Chosen:
    """What is selected now; each part exists, or is None when there is nothing to choose from."""

    version: ModelVersion | None
    region: Region | None
    hardware: Hardware | None
    fields: dict[str, str]


class ModelLaunch(FormPage):
    panel = "console"
    nav = "endpoints"
    permission = Permission.ENDPOINT_CREATE
    title = _("Launch a model")
    form_class = LaunchFields
    template_name = "console/model_launch.html"
    done = _("Accepted: its first replica is being started.")

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Endpoints")), self.url("endpoints"))]

    # ------------------------------------------------------------ the request

    def initial(self) -> dict[str, Any]:
        return self.chosen.fields

    def save(self, data: dict[str, Any]) -> str:
        made = making.create_endpoint(
            actor=self.actor, team=self.team, workspace=self.place.workspace, spec=_spec(data)
        )
        return self.url("endpoint", pk=made.pk)

    # ------------------------------------------------------------ what there is

    @cached_property
    def versions(self) -> list[ModelVersion]:
        """The newest servable version of each model; an older one only when it was asked for."""
        rows = list(registry.servable(self.actor)[: MODELS_SHOWN * 4])
        asked = self.asked.get("version")
        newest = {row.model_id: row for row in reversed(rows)}
        newest |= {row.model_id: row for row in rows if str(row.pk) == asked}
        return sorted(newest.values(), key=lambda row: row.model.name)[:MODELS_SHOWN]

    @cached_property
    def regions(self) -> list[Region]:
        return list(offers.regions_with_engines())

    @cached_property
    def asked(self) -> Any:
        return self.request.POST if self.request.method == "POST" else self.request.GET

    @cached_property
    def hardware(self) -> list[Hardware]:
        """What the chosen region has for the chosen model."""
        version, region = self.version, self.region
        if version is None or region is None:
            return []
        return offers.hardware_for(region, version)

    @cached_property
    def book(self) -> dict[str, PriceVersion]:
        """The team's price of each product."""
        return prices.book_of(self.team.pk)

    @cached_property
    def version(self) -> ModelVersion | None:
        found: ModelVersion | None = _named(self.versions, "pk", self.asked.get("version"))
        return found

    @cached_property
    def region(self) -> Region | None:
        found: Region | None = _named(self.regions, "slug", self.asked.get("region"))
        return found

    @cached_property
    def chosen(self) -> Chosen:
        fields = {name: self.asked.get(name, value)[:10] for name, value in USUAL.items()}
        named = self.asked.get("slug", "")[:63]
        fields["slug"] = named or (self.version.model.slug if self.version else "")
        hardware = _named(self.hardware, "slug", self.asked.get("hardware"))
        return Chosen(self.version, self.region, hardware, fields)

    def quote_of(self, hardware: Hardware) -> Quote | None:
        try:
            return prices.quote_by(self.book, hardware.rates, currency=self.team.currency)
        except NoPrice:
            return None

    # ------------------------------------------------------------ what the template shows

    def context(self) -> dict[str, Any]:
        one = self.chosen
        quotes = {choice.pk: self.quote_of(choice) for choice in self.hardware}
        return {
            "chosen": one,
            "versions": self.versions,
            "regions": self.regions,
            "hardware": [
                (choice, self._price(quotes[choice.pk]), self._need(choice)) for choice in self.hardware
            ],
            "isolation": Isolation.PROCESS,
            "cost": self._cost(quotes.get(one.hardware.pk) if one.hardware else None),
            "snippets": self._snippets(),
            "usual_context": USUAL_CONTEXT,
        }

    def _price(self, quote: Quote | None) -> Any:
        return cells.price(quote.hourly, quote.currency) if quote else ""

    def _need(self, hardware: Hardware) -> dict[str, Any] | None:
        """How much of the memory the model takes with the requests that were asked for."""
        version = self.chosen.version
        if version is None:
            return None
        memory = hardware.gpu_model.memory_gib if hardware.gpu_model else hardware.memory_mib / 1024
        batch = min(max(self._number("parallel"), 1), MOST_PARALLEL)
        own = version.context_length or USUAL_CONTEXT
        context = min(self._number("context_length") or USUAL_CONTEXT, own)
        found = registry.fit_on(
            version, float(memory), count=max(hardware.gpus, 1), context=context, batch=batch
        )
        said = {"need": cells.number(round(found.needed_gib, 1)), "all": cells.number(round(memory, 1))}
        return {
            "fits": found.fits,
            "share": f"{min(100 * found.share, 100):.1f}",
            "said": _now("%(need)s of %(all)s GiB") % said,
        }

    def _cost(self, quote: Quote | None) -> dict[str, Any] | None:
        if quote is None:
            return None
        count = max(self._number("least"), 1)
        most = max(self._number("most"), count)
        return {
            "replica": cells.price(quote.hourly, quote.currency),
            "count": count,
            "top_up": self.url("top-up") if self.can(Permission.BILLING_MANAGE) else "",
            "most": cells.price(quote.hourly * most, quote.currency) if most > count else "",
            **cost_of(self.wallet, quote.hourly * count, quote.currency),
        }

    def _number(self, name: str) -> int:
        """What stands in the field; the usual value while that is no number."""
        asked = self.chosen.fields[name]
        return int(asked) if asked.isdecimal() and asked.isascii() else int(USUAL[name])

    def _snippets(self) -> list[tuple[str, str]]:
        one = self.chosen
        if one.version is None or one.region is None or one.hardware is None:
            return []
        said = {
            "name": one.fields["slug"],
            "region": one.region.slug,
            "version": str(one.version.pk),
            "hardware": one.hardware.slug,
            "workspace": self.workspace.slug,
            "parallel": self._number("parallel"),
            "context_length": self._number("context_length"),
            "scale": {
                "least": self._number("least"),
                "most": self._number("most"),
                "idle_seconds": self._number("idle_minutes") * 60,
            },
        }
        base = f"{self.request.scheme}://{self.request.get_host()}"
        return snippets.of_request(f"{base}/api/user/v1/endpoints", said)


def _named(found: Any, field: str, asked: str | None) -> Any:
    """The one that was asked for, else the first."""
    named = next((one for one in found if str(getattr(one, field)) == asked), None)
    return named or (found[0] if found else None)


def _spec(data: dict[str, Any]) -> EndpointSpec:
    try:
        return EndpointSpec(
            slug=data["slug"],
            region=data["region"],
            recipe=Recipe(
                version=data["version"],
                hardware=data["hardware"],
                parallel=data["parallel"],
                context_length=data["context_length"],
            ),
            scale=ScaleRules(least=data["least"], most=data["most"], idle_seconds=data["idle_minutes"] * 60),
        )
    except ValidationError as wrong:
        raise refusal(wrong) from wrong
