"""External providers in the Admin panel: added, changed, and served from without an engine of our own."""

from decimal import Decimal
from functools import cached_property
from typing import Any

from django import forms
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.billing.services import provided
from apps.billing.specs import TOKEN_KINDS, TokenRate
from apps.core.errors import Invalid, NotFound
from apps.core.money import plain
from apps.core.permissions import Permission
from apps.inference.models import Endpoint, Replica
from apps.inference.selectors import reading
from apps.inference.services import providers
from apps.inference.specs import (
    LONGEST_KEY,
    LONGEST_NAME,
    LONGEST_URL,
    MOST_CONTEXT,
    SLUG_PATTERN,
    ProvidedSpec,
    ProviderChange,
    ProviderSpec,
)
from apps.panels.admin.money import CURRENCIES
from apps.panels.kit import FormPage, Section
from apps.regions.selectors import list_regions
from apps.registry.states import Modality

RATE = ("input", "cached", "output")
RATE_FIELDS = ("rate_currency", *(f"rate_{kind}" for kind in RATE))
PRICE_FIELDS = ("price_currency", *(f"price_{kind}" for kind in TOKEN_KINDS))
CHARGES = Section(
    _("What it charges us"),
    _("Per million tokens. Booked as it is used, so that the margin is right; of its bill record only what"
      " differs. Leave it empty if you do not know."),
    RATE_FIELDS,
)  # fmt: skip
REQUESTS = Section(
    _("Requests"), _("Prompts and answers pass through the provider. Callers pay the endpoint's prices."),
    ("is_fallback",),
)  # fmt: skip


def _price(label: Any, help_text: Any = "") -> forms.DecimalField:
    return forms.DecimalField(
        label=label, required=False, min_value=0, max_digits=18, decimal_places=12, help_text=help_text
    )


def _key(label: Any, help_text: Any) -> forms.CharField:
    hidden = forms.PasswordInput(attrs={"autocomplete": "off"})
    return forms.CharField(
        label=label, max_length=LONGEST_KEY, required=False, widget=hidden, help_text=help_text
    )


class RateFields(forms.Form):
    """What a provider charges: nothing, or input and output."""

    rate_currency = forms.ChoiceField(label=_("Currency"), choices=CURRENCIES, required=False)
    rate_input = _price(_("Input"))
    rate_cached = _price(_("Cached input"), _("As other input when left empty."))
    rate_output = _price(_("Output"))

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        has_input, has_output = (data.get(f"rate_{kind}") is not None for kind in ("input", "output"))
        if has_input != has_output:
            missing = "rate_output" if has_input else "rate_input"
            self.add_error(missing, _("Say what it charges for both, input and output."))
        return data


def _rate(data: dict[str, Any]) -> TokenRate | None:
    into, cached, out = (data[f"rate_{kind}"] for kind in RATE)
    if into is None or out is None:
        return None
    return TokenRate(data["rate_currency"], into, into if cached is None else cached, out)


def _initial_rate(replica: Replica) -> dict[str, Any]:
    known = provided.rate_of(str(replica.pk))
    if known is None:
        return {}
    told = {f"rate_{kind}": plain(getattr(known, kind)) for kind in RATE}
    return {"rate_currency": known.currency, **told}


class ProviderFields(RateFields):
    url = forms.CharField(
        label=_("Address"),
        max_length=LONGEST_URL,
        help_text=_("As OpenAI's clients take it: https://api.example.com/v1"),
    )
    model = forms.CharField(
        label=_("Model"), max_length=LONGEST_NAME, help_text=_("How the provider calls it.")
    )
    api_key = _key(_("Key"), _("Sealed, and never shown again."))
    is_fallback = forms.BooleanField(
        label=_("Only when nothing else can answer"), required=False, initial=True
    )


def _spec(data: dict[str, Any]) -> ProviderSpec:
    """As the form says it."""
    return ProviderSpec(
        data["url"], data["model"], data["api_key"], data.get("is_fallback", False), _rate(data)
    )


PROVIDER = Section(
    _("Provider"),
    _("Anything that speaks OpenAI's protocol. It is asked for its list of models twice a minute."),
    ("url", "model", "api_key"),
)


class OfEndpoint(FormPage):
    """A form about one endpoint's providers."""

    panel = "admin"
    nav = "endpoints"
    permission = Permission.ENDPOINT_UPDATE

    @cached_property
    def endpoint(self) -> Endpoint:
        return reading.get_endpoint(actor=self.actor, endpoint_id=self.pk)

    def crumbs(self) -> list[tuple[str, str]]:
        page = self.url("endpoint", pk=self.endpoint.pk)
        return [(str(_("Endpoints")), self.url("endpoints")), (self.endpoint.slug, page)]


class ProviderNew(OfEndpoint):
    title = _("Add a provider")
    form_class = ProviderFields
    sections = (PROVIDER, REQUESTS, CHARGES)
    submit = _("Add provider")
    done = _("It is asked as soon as it has shown that it answers.")

    def save(self, data: dict[str, Any]) -> str:
        made = providers.add_provider(actor=self.actor, endpoint_id=str(self.endpoint.pk), spec=_spec(data))
        return self.url("endpoint", pk=made.endpoint_id)


class ChangeFields(RateFields):
    api_key = _key(_("New key"), _("The old one is used until this one has been proven. Empty: no change."))
    is_fallback = forms.BooleanField(label=_("Only when nothing else can answer"), required=False)


class ProviderEdit(OfEndpoint):
    title = _("Change a provider")
    form_class = ChangeFields
    sections = (
        Section(_("Key"), _("Tried at once, and used from then on."), ("api_key",)),
        REQUESTS,
        CHARGES,
    )
    submit = _("Save")
    done = _("Saved. A new key is used as soon as the provider has taken it.")

    @cached_property
    def replica(self) -> Replica:
        found = reading.get_replica(actor=self.actor, replica_id=self.pk)
        if not found.is_external:
            raise NotFound(_now("There is no such provider."))
        return found

    @cached_property
    def endpoint(self) -> Endpoint:
        found: Endpoint = self.replica.endpoint
        return found

    def initial(self) -> dict[str, Any]:
        return {"is_fallback": self.replica.is_fallback, **_initial_rate(self.replica)}

    def save(self, data: dict[str, Any]) -> str:
        change = ProviderChange(data["api_key"] or None, data["is_fallback"], _rate(data))
        providers.change_provider(actor=self.actor, replica_id=str(self.replica.pk), change=change)
        return self.url("endpoint", pk=self.endpoint.pk)


class ProvidedFields(ProviderFields):
    slug = forms.RegexField(
        SLUG_PATTERN, label=_("Model name"), max_length=63, help_text=_("What callers write as “model”.")
    )
    name = forms.CharField(label=_("Title"), max_length=80, required=False)
    region = forms.ChoiceField(label=_("Region"))
    modality = forms.ChoiceField(label=_("Kind"), choices=Modality.choices)
    context_length = forms.IntegerField(
        label=_("Context"), min_value=1, max_value=MOST_CONTEXT, initial=131_072,
        help_text=_("Tokens of prompt and answer; no more is held for a request than this costs."),
    )  # fmt: skip
    price_currency = forms.ChoiceField(label=_("Currency"), choices=CURRENCIES, required=False)
    price_input = _price(_("Input"))
    price_cached = _price(_("Cached input"), _("As other input when left empty."))
    price_output = _price(_("Output"))
    price_embedding = _price(_("Embedding"))


class ProvidedNew(FormPage):
    panel = "admin"
    nav = "endpoints"
    permission = Permission.ENDPOINT_CREATE
    title = _("Serve a model from a provider")
    intro = _("An endpoint for everybody that runs on no hardware of ours.")
    form_class = ProvidedFields
    sections = (
        Section(
            _("Endpoint"), _("How callers know it."), ("slug", "name", "modality", "context_length", "region")
        ),
        PROVIDER,
        Section(
            _("What callers pay"),
            _("Per million tokens. Without prices nobody can call it; they can be set later under Prices."),
            PRICE_FIELDS,
        ),
        CHARGES,
    )
    submit = _("Serve it")
    done = _("It can be called as soon as the provider has shown that it answers.")

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Endpoints")), self.url("endpoints"))]

    def form(self, data: Any = None) -> forms.Form:
        form = super().form(data)
        known = [(one.slug, one.name) for one in list_regions(actor=self.actor)]
        form.fields["region"].choices = known  # type: ignore[attr-defined]
        if not self.can(Permission.PRICE_MANAGE):
            for name in PRICE_FIELDS:
                form.fields[name].disabled = True
        return form

    def save(self, data: dict[str, Any]) -> str:
        if not data["region"]:
            raise Invalid(_now("There is no region yet."), field="region")
        prices: dict[str, Decimal] = {
            kind: data[f"price_{kind}"] for kind in TOKEN_KINDS if data[f"price_{kind}"] is not None
        }
        spec = ProvidedSpec(
            slug=data["slug"],
            name=data["name"],
            region=data["region"],
            modality=data["modality"],
            context_length=data["context_length"],
            currency=data["price_currency"],
            prices=prices,
        )
        made = providers.create_provided(actor=self.actor, spec=spec, provider=_spec(data))
        return self.url("endpoint", pk=made.pk)
