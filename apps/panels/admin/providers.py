"""External providers in the Admin panel: added and changed."""

from functools import cached_property
from typing import Any

from django import forms
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.billing.services import provided
from apps.billing.specs import TokenRate
from apps.core.errors import NotFound
from apps.core.money import plain
from apps.core.permissions import Permission
from apps.inference.models import Endpoint, Replica
from apps.inference.selectors import reading
from apps.inference.services import providers
from apps.inference.specs import (
    LONGEST_KEY,
    LONGEST_NAME,
    LONGEST_URL,
    ProviderChange,
    ProviderSpec,
)
from apps.panels.admin.money import CURRENCIES
from apps.panels.kit import FormPage, Section

RATE = ("input", "cached", "output")
RATE_FIELDS = ("rate_currency", *(f"rate_{kind}" for kind in RATE))
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


def price_field(label: Any, help_text: Any = "") -> forms.DecimalField:
    """Of a million tokens; it may stay empty."""
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
    rate_input = price_field(_("Input"))
    rate_cached = price_field(_("Cached input"), _("As other input when left empty."))
    rate_output = price_field(_("Output"))

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


def provider_of(data: dict[str, Any]) -> ProviderSpec:
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
        spec = provider_of(data)
        made = providers.add_provider(actor=self.actor, endpoint_id=str(self.endpoint.pk), spec=spec)
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
