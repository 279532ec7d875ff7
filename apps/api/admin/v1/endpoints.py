"""Endpoints and replicas everywhere, and launches as the older systems' clients ask for them."""

from typing import Any

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, PlatformViewSet
from apps.api.endpoint_changes import EndpointChanges, change_calls
from apps.api.endpoints import (
    READ,
    REFUSALS,
    EndpointIn,
    EngineLogOut,
    HardwareActions,
    HardwareOut,
    ReplicaActions,
    StaffEndpointFilters,
    StaffEndpointOut,
    StaffReplicaOut,
    hardware_calls,
    replica_calls,
    spec_of,
)
from apps.api.fields import In, MoneyField, Out, TypedIdField
from apps.api.operations import StepOut
from apps.billing.specs import TokenRate
from apps.core.errors import Invalid
from apps.core.permissions import Permission
from apps.inference.selectors import reading
from apps.inference.selectors.launches import version_named
from apps.inference.services import endpoints, logs, making, providers
from apps.inference.specs import (
    LONGEST_KEY,
    LONGEST_NAME,
    LONGEST_URL,
    MOST_CONTEXT,
    SLUG_PATTERN,
    EndpointSpec,
    ProvidedSpec,
    ProviderChange,
    ProviderSpec,
    Recipe,
    ScaleRules,
)
from apps.operations import selectors as operations
from apps.operations.states import State
from apps.registry.states import Modality


class RateIn(In):
    """What a provider charges us per million tokens; cached input what other input does, unless said."""

    currency = serializers.RegexField(r"^[A-Z]{3}$")
    input = MoneyField(min_value=0)
    cached = MoneyField(min_value=0, required=False)
    output = MoneyField(min_value=0)


class ProviderIn(In):
    """An external provider: where it is, how it calls the model, what it charges us."""

    url = serializers.CharField(
        max_length=LONGEST_URL, help_text="As OpenAI's clients take it: `https://api.example.com/v1`."
    )
    model = serializers.CharField(max_length=LONGEST_NAME, help_text="How the provider calls the model.")
    api_key = serializers.CharField(
        max_length=LONGEST_KEY, allow_blank=True, help_text="Sealed, and never shown again."
    )
    is_fallback = serializers.BooleanField(
        default=False, help_text="Asked only when nothing else can answer."
    )
    rate = RateIn(required=False)


class EndpointProviderIn(ProviderIn):
    """An external provider that answers for one of the platform's own endpoints."""

    endpoint = TypedIdField("end")
    is_fallback = serializers.BooleanField(default=True, help_text="Asked only when nothing else can answer.")


class ProviderChangeIn(In):
    """What shall be otherwise. A new key is used once it has been proven; until then the old one is."""

    api_key = serializers.CharField(max_length=LONGEST_KEY, required=False)
    is_fallback = serializers.BooleanField(required=False)
    rate = RateIn(required=False)


class PricesIn(In):
    """What callers pay per million tokens, from now on."""

    currency = serializers.RegexField(r"^[A-Z]{3}$")
    input = MoneyField(min_value=0, required=False)
    cached = MoneyField(min_value=0, required=False)
    output = MoneyField(min_value=0, required=False)
    embedding = MoneyField(min_value=0, required=False)


class PublicIn(EndpointIn):
    """A new endpoint for everybody, perhaps with what callers pay."""

    prices = PricesIn(required=False)


class ProvidedIn(In):
    """A public endpoint that an external provider answers for; `name` is what callers write as `model`."""

    name = serializers.RegexField(SLUG_PATTERN, max_length=63)
    title = serializers.CharField(required=False, max_length=80)
    region = serializers.CharField(max_length=40)
    modality = serializers.ChoiceField(required=False, choices=Modality.choices)
    context_length = serializers.IntegerField(
        min_value=1, max_value=MOST_CONTEXT, help_text="Tokens of prompt and answer that it takes."
    )
    provider = ProviderIn()
    prices = PricesIn(required=False)


def _rate(given: dict[str, Any]) -> dict[str, Any]:
    """The body with its rate as billing takes it."""
    rate = given.pop("rate", None)
    return {**given, "rate": TokenRate(**{"cached": rate["input"], **rate})} if rate else given


def _prices(given: dict[str, Any]) -> dict[str, Any]:
    """What callers pay, taken out of the body, as a specification has it."""
    prices = given.pop("prices", None) or {}
    return {"currency": prices.pop("currency", ""), "prices": prices}


class EndpointViewSet(EndpointChanges, PlatformViewSet):
    """Endpoints of all teams, and the provider's own."""

    filters = StaffEndpointFilters
    called = {"slug": "name"}
    calls = {
        "list": Call(READ, StaffEndpointOut, summary="List endpoints"),
        "retrieve": Call(READ, StaffEndpointOut, summary="Look at an endpoint"),
        "create": Call(
            Permission.ENDPOINT_CREATE, StaffEndpointOut, PublicIn, 202, "Launch a public model",
            own_errors=REFUSALS,
        ),
        "provided": Call(
            Permission.ENDPOINT_CREATE, StaffEndpointOut, ProvidedIn, 202, "Serve a model from a provider"
        ),
        "destroy": Call(Permission.ENDPOINT_DELETE, StaffEndpointOut, None, 202, "Delete an endpoint"),
        **change_calls(StaffEndpointOut),
    }  # fmt: skip

    def list(self, request: Request) -> Response:
        """All that have not been deleted, newest first."""
        return self.page(reading.list_endpoints(actor=self.actor))

    def retrieve(self, request: Request, id: str) -> Response:
        """Deleted ones are still there to be looked at."""
        return self.shown(id)

    def create(self, request: Request) -> Response:
        """The provider's own: everybody may call it, and pays by token."""
        given = self.body()
        spec = spec_of(given).model_copy(update=_prices(given))
        made = making.create_endpoint(actor=self.actor, team=None, workspace=None, spec=spec)
        return self.shown(str(made.pk))

    @action(detail=False, methods=["post"])
    def provided(self, request: Request) -> Response:
        """The provider's own as well, but without an engine: an external provider answers for it."""
        given = self.body()
        prices, provider = _prices(given), ProviderSpec(**_rate(given.pop("provider")))
        spec = ProvidedSpec(slug=given.pop("name"), name=given.pop("title", ""), **given, **prices)
        made = providers.create_provided(actor=self.actor, spec=spec, provider=provider)
        return self.shown(str(made.pk))

    def destroy(self, request: Request, id: str) -> Response:
        """For good: open requests are finished, then every engine goes."""
        endpoints.delete_endpoint(actor=self.actor, endpoint_id=self.id_of("end", id))
        return self.shown(id)


class ReplicaViewSet(ReplicaActions, PlatformViewSet):
    """The fleet: every engine, wherever it is, and external providers."""

    calls = {
        **replica_calls(StaffReplicaOut),
        "create": Call(
            Permission.ENDPOINT_UPDATE, StaffReplicaOut, EndpointProviderIn, 202, "Add an external provider"
        ),
        "partial_update": Call(
            Permission.ENDPOINT_UPDATE, StaffReplicaOut, ProviderChangeIn, 202, "Change an external provider"
        ),
        "destroy": Call(
            Permission.ENDPOINT_UPDATE, StaffReplicaOut, None, 202, "Remove an external provider"
        ),
        "log": Call(Permission.ENDPOINT_LOGS, EngineLogOut, summary="Read what its engine writes"),
    }

    def create(self, request: Request) -> Response:
        """It serves as soon as it has shown that it answers and takes the key."""
        given = _rate(self.body())
        endpoint = given.pop("endpoint")
        made = providers.add_provider(actor=self.actor, endpoint_id=endpoint, spec=ProviderSpec(**given))
        return self.retrieve(request, str(made.pk))

    def partial_update(self, request: Request, id: str) -> Response:
        """Another key, another place in the order, or another rate from now on."""
        change = ProviderChange(**_rate(self.body()))
        providers.change_provider(actor=self.actor, replica_id=self.id_of("rep", id), change=change)
        return self.retrieve(request, id)

    def destroy(self, request: Request, id: str) -> Response:
        """It is asked no more; what it is answering is finished."""
        providers.remove_provider(actor=self.actor, replica_id=self.id_of("rep", id))
        return self.retrieve(request, id)

    @action(detail=True)
    def log(self, request: Request, id: str) -> Response:
        """The last lines, 64 kB at most. To follow it ask every other second, with `If-None-Match`."""
        return self.answer(logs.follow_log(actor=self.actor, replica_id=self.id_of("rep", id)))


class HardwareViewSet(HardwareActions, PlatformViewSet):
    """What replicas may run on."""

    calls = hardware_calls(HardwareOut)


class LaunchIn(In):
    """A model, where and on what. `model` is a version's id, or a model's short name (its newest version)."""

    model = serializers.CharField(max_length=80)
    provider = serializers.CharField(required=False, max_length=40, help_text="Kind of cluster: `local`.")
    region = serializers.CharField(max_length=40)
    instance_type = serializers.CharField(max_length=60, help_text="Short name of the hardware.")
    name = serializers.CharField(required=False, max_length=63, help_text="Without it, the model's.")
    use_spot = serializers.BooleanField(required=False)
    replicas = serializers.IntegerField(required=False, min_value=1, max_value=64)


class LaunchOut(Out):
    """Where to ask how it goes."""

    job_id = TypedIdField("op")
    endpoint_id = TypedIdField("end")
    state = serializers.ChoiceField(choices=State.choices)


class JobOut(LaunchOut):
    """How a launch goes; `progress` is in percent."""

    progress = serializers.IntegerField()
    error = serializers.CharField(allow_blank=True)
    steps = StepOut(many=True)


class LaunchViewSet(PlatformViewSet):
    """Launches at the addresses that older clients know: a job to start, and a job to ask about."""

    scope_parameters = frozenset({"job_id"})
    called = {"slug": "name", "hardware": "instance_type", "version": "model"}
    calls = {
        "create": Call(
            Permission.ENDPOINT_CREATE, LaunchOut, LaunchIn, 202, "Launch a model", own_errors=REFUSALS
        ),
        "retrieve": Call(READ, JobOut, summary="See how a launch goes"),
    }

    def create(self, request: Request) -> Response:
        """A public endpoint of the provider's; `job_id` is its operation."""
        given = self.body()
        made = making.create_endpoint(actor=self.actor, team=None, workspace=None, spec=self._spec(given))
        return self.answer({"job_id": made.operation_id, "endpoint_id": str(made.pk), "state": State.PENDING})

    def retrieve(self, request: Request) -> Response:
        """`?job_id=` is what the launch answered."""
        job = request.query_params.get("job_id")
        if not job:
            raise Invalid("Say which job: `?job_id=op_…`.", field="job_id")
        found = operations.get_operation(actor=self.actor, operation_id=self.id_of("op", job))
        return self.answer(
            {
                "job_id": str(found.pk),
                "endpoint_id": found.target_id,
                "state": found.state,
                "progress": found.progress,
                "error": found.error_message,
                "steps": found.steps.all(),
            }
        )

    def _spec(self, given: dict[str, Any]) -> EndpointSpec:
        version = version_named(actor=self.actor, text=given["model"])
        hardware = reading.hardware_named(given["instance_type"], kind=given.get("provider"))
        least = given.get("replicas", 1)
        share = 100 if given.get("use_spot") else 0
        return EndpointSpec(
            slug=given.get("name") or version.model.slug,
            region=given["region"],
            recipe=Recipe(version=str(version.pk), hardware=hardware.slug),
            scale=ScaleRules(least=least, most=least, spot_percent=share),
        )
