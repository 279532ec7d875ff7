"""What is served for everybody: a model on engines of our own, or from a provider; with what callers pay."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.billing.specs import TOKEN_KINDS
from apps.core.permissions import Permission
from apps.inference.models import Hardware
from apps.inference.selectors import offers, reading
from apps.inference.services import making, providers
from apps.inference.specs import (
    MOST_CONTEXT,
    MOST_REPLICAS,
    SLUG_PATTERN,
    EndpointSpec,
    ProvidedSpec,
    Recipe,
    ScaleRules,
)
from apps.panels.admin.money import CURRENCIES
from apps.panels.admin.providers import CHARGES, PROVIDER, ProviderFields, price_field, provider_of
from apps.panels.kit import FormPage, Section
from apps.regions.selectors import list_regions
from apps.registry import selectors as registry
from apps.registry.models import ModelVersion
from apps.registry.states import Modality

PRICE_FIELDS = ("price_currency", *(f"price_{kind}" for kind in TOKEN_KINDS))
PRICES = Section(
    _("What callers pay"),
    _("Per million tokens. Without prices nobody can call it; they can be set later under Prices."),
    PRICE_FIELDS,
    note=lambda view: "" if view.can(Permission.PRICE_MANAGE) else _("Prices are set by an administrator."),
)


class PublicFields(forms.Form):
    """What every endpoint for everybody has: a name, a place, and prices."""

    slug = forms.RegexField(
        SLUG_PATTERN, label=_("Model name"), max_length=63, help_text=_("What callers write as “model”.")
    )
    name = forms.CharField(label=_("Title"), max_length=80, required=False)
    region = forms.ChoiceField(label=_("Region"))
    price_currency = forms.ChoiceField(label=_("Currency"), choices=CURRENCIES, required=False)
    price_input = price_field(_("Input"))
    price_cached = price_field(_("Cached input"), _("As other input when left empty."))
    price_output = price_field(_("Output"))
    price_embedding = price_field(_("Embedding"))


def _shared(data: dict[str, Any]) -> dict[str, Any]:
    """The same as a specification takes it."""
    prices = {kind: data[f"price_{kind}"] for kind in TOKEN_KINDS if data[f"price_{kind}"] is not None}
    named = {name: data[name] for name in ("slug", "name", "region")}
    return {**named, "currency": data["price_currency"], "prices": prices}


class PublicPage(FormPage):
    panel = "admin"
    nav = "endpoints"
    permission = Permission.ENDPOINT_CREATE
    submit = _("Serve it")

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Endpoints")), self.url("endpoints"))]

    def choices(self) -> dict[str, list[tuple[str, str]]]:
        """What each field offers to choose from."""
        raise NotImplementedError

    def form(self, data: Any = None) -> forms.Form:
        form = super().form(data)
        for name, known in self.choices().items():
            form.fields[name].choices = known  # type: ignore[attr-defined]
        if not self.can(Permission.PRICE_MANAGE):
            for name in PRICE_FIELDS:
                form.fields[name].disabled = True
        return form


class ProvidedFields(PublicFields, ProviderFields):
    modality = forms.ChoiceField(label=_("Kind"), choices=Modality.choices)
    context_length = forms.IntegerField(
        label=_("Context"), min_value=1, max_value=MOST_CONTEXT, initial=131_072,
        help_text=_("Tokens of prompt and answer; no more is held for a request than this costs."),
    )  # fmt: skip


class ProvidedNew(PublicPage):
    title = _("Serve a model from a provider")
    intro = _("An endpoint for everybody that runs on no hardware of ours.")
    form_class = ProvidedFields
    sections = (
        Section(
            _("Endpoint"), _("How callers know it."), ("slug", "name", "modality", "context_length", "region")
        ),
        PROVIDER,
        PRICES,
        CHARGES,
    )
    done = _("It can be called as soon as the provider has shown that it answers.")

    def choices(self) -> dict[str, list[tuple[str, str]]]:
        return {"region": [(one.slug, one.name) for one in list_regions(actor=self.actor)]}

    def save(self, data: dict[str, Any]) -> str:
        more = {"modality": data["modality"], "context_length": data["context_length"]}
        spec = ProvidedSpec(**_shared(data), **more)
        made = providers.create_provided(actor=self.actor, spec=spec, provider=provider_of(data))
        return self.url("endpoint", pk=made.pk)


class LaunchFields(PublicFields):
    version = forms.ChoiceField(label=_("Model"))
    hardware = forms.ChoiceField(label=_("Hardware"))
    least = forms.IntegerField(
        label=_("Least replicas"), min_value=0, max_value=MOST_REPLICAS, initial=1,
        help_text=_("0 lets it sleep when nobody calls."),
    )  # fmt: skip
    most = forms.IntegerField(label=_("Most replicas"), min_value=1, max_value=MOST_REPLICAS, initial=1)
    idle_minutes = forms.IntegerField(
        label=_("Sleeps after, minutes"), min_value=0, max_value=1440, initial=0,
        help_text=_("0 keeps it awake."),
    )  # fmt: skip

    def clean_most(self) -> int:
        most: int = self.cleaned_data["most"]
        if most < self.cleaned_data.get("least", 0):
            raise forms.ValidationError(_("The most replicas must be at least as many as the least."))
        return most


class PublicLaunch(PublicPage):
    title = _("Launch a model for everybody")
    intro = _("On engines of our own; callers pay by the token.")
    form_class = LaunchFields
    sections = (
        Section(_("Endpoint"), _("How callers know it, and what serves it."),
                ("version", "slug", "name", "region", "hardware")),
        Section(_("Replicas"), _("It grows with the requests at once."), ("least", "most", "idle_minutes")),
        PRICES,
    )  # fmt: skip
    submit = _("Launch")
    done = _("Accepted: its first replica is being started.")

    def initial(self) -> dict[str, Any]:
        return {"version": self.request.GET.get("version", "")}

    def choices(self) -> dict[str, list[tuple[str, str]]]:
        own = registry.servable_for(self.actor, None)
        return {
            "version": [(str(one.pk), _called(one)) for one in own],
            "region": [(one.slug, one.name) for one in offers.regions_with_engines()],
            "hardware": [(one.slug, _sized(one)) for one in reading.list_hardware(actor=self.actor)],
        }

    def save(self, data: dict[str, Any]) -> str:
        spec = EndpointSpec(
            **_shared(data),
            recipe=Recipe(version=data["version"], hardware=data["hardware"]),
            scale=ScaleRules(least=data["least"], most=data["most"], idle_seconds=data["idle_minutes"] * 60),
        )
        made = making.create_endpoint(actor=self.actor, team=None, workspace=None, spec=spec)
        return self.url("endpoint", pk=made.pk)


def _called(version: ModelVersion) -> str:
    return f"{version.model.name} v{version.number}"


def _sized(hardware: Hardware) -> str:
    return f"{hardware.name} ({', '.join(sorted(hardware.kinds))})"
