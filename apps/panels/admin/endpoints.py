"""Endpoints, the fleet of replicas and external providers in the Admin panel."""

from dataclasses import replace
from functools import cached_property
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.core.permissions import Permission
from apps.inference.models import Endpoint
from apps.inference.selectors import reading
from apps.inference.services import providers
from apps.inference.specs import LONGEST_KEY, LONGEST_NAME, LONGEST_URL, ProviderSpec
from apps.panels import endpoints
from apps.panels.kit import FormPage, Section
from apps.panels.staff_endpoint import StaffEndpoint


class EndpointList(endpoints.EndpointList):
    panel = "admin"
    columns = (
        endpoints.NAME,
        endpoints.STATE,
        endpoints.TEAM,
        endpoints.MODEL,
        endpoints.COUNT,
        endpoints.REQUESTS,
        endpoints.TAIL,
        endpoints.TOKENS,
        endpoints.REGION,
        endpoints.AGE,
    )
    filters = (endpoints.STATE_FILTER, endpoints.REGION_FILTER)


class EndpointPage(StaffEndpoint):
    panel = "admin"

    def replica_link(self) -> tuple[Any, str] | None:
        if self.object.team_id is not None or not self.can(Permission.ENDPOINT_UPDATE):
            return None
        return _("Add a provider"), self.url("provider-new", pk=self.pk)


class ProviderFields(forms.Form):
    url = forms.CharField(
        label=_("Address"),
        max_length=LONGEST_URL,
        help_text=_("As OpenAI's clients take it: https://api.example.com/v1"),
    )
    model = forms.CharField(
        label=_("Model"), max_length=LONGEST_NAME, help_text=_("How the provider calls it.")
    )
    api_key = forms.CharField(
        label=_("Key"),
        max_length=LONGEST_KEY,
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text=_("Sealed, and never shown again."),
    )
    is_fallback = forms.BooleanField(
        label=_("Only when no engine of our own can answer"), required=False, initial=True
    )


class ProviderNew(FormPage):
    panel = "admin"
    nav = "endpoints"
    permission = Permission.ENDPOINT_UPDATE
    title = _("Add a provider")
    form_class = ProviderFields
    sections = (
        Section(
            _("Provider"),
            _("Anything that speaks OpenAI's protocol. It is asked for its list of models twice a minute."),
            ("url", "model", "api_key"),
        ),
        Section(
            _("Requests"),
            _("Prompts and answers pass through the provider. Callers pay this endpoint's prices; what the "
              "provider charges is recorded from its bills."),
            ("is_fallback",),
        ),
    )  # fmt: skip
    submit = _("Add provider")
    done = _("It is asked as soon as it has shown that it answers.")

    @cached_property
    def endpoint(self) -> Endpoint:
        return reading.get_endpoint(actor=self.actor, endpoint_id=self.pk)

    def crumbs(self) -> list[tuple[str, str]]:
        page = self.url("endpoint", pk=self.pk)
        return [(str(_("Endpoints")), self.url("endpoints")), (self.endpoint.slug, page)]

    def save(self, data: dict[str, Any]) -> str:
        made = providers.add_provider(
            actor=self.actor, endpoint_id=str(self.endpoint.pk), spec=ProviderSpec(**data)
        )
        return self.url("endpoint", pk=made.endpoint_id)


OF = replace(endpoints.REPLICA_OF, to=lambda view, one: view.url("endpoint", pk=one.endpoint_id))


class ReplicaList(endpoints.ReplicaList):
    panel = "admin"
    columns = (
        endpoints.REPLICA_ID,
        endpoints.REPLICA_STATE,
        OF,
        endpoints.REPLICA_TEAM,
        endpoints.REPLICA_WHAT,
        endpoints.REPLICA_PLACE,
        endpoints.REPLICA_MESSAGE,
        endpoints.REPLICA_SINCE,
    )
