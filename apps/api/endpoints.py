"""Endpoints and replicas as the APIs show them."""

from collections.abc import Mapping
from typing import Any

import django_filters
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import ApiViewSet, Call
from apps.api.fields import In, MoneyField, Nothing, Out, RowOut, TypedIdField
from apps.core.permissions import Permission
from apps.inference.models import Endpoint, EngineLog, Hardware, Replica, Revision
from apps.inference.selectors import offers, reading
from apps.inference.services import replicas
from apps.inference.specs import SLUG_PATTERN, EndpointSpec, Recipe, ScaleRules
from apps.inference.states import EndpointState, Metering, Policy, ReplicaState, ScaleMetric, Visibility

REFUSALS = (402, 503)
READ = Permission.ENDPOINT_READ


class EndpointFilters(django_filters.FilterSet):
    """What endpoints may be asked for."""

    state = django_filters.MultipleChoiceFilter(choices=EndpointState.choices)
    name = django_filters.CharFilter(field_name="slug", lookup_expr="startswith")
    region = django_filters.CharFilter(field_name="region__slug")


class StaffEndpointFilters(EndpointFilters):
    team = django_filters.CharFilter(field_name="team_name")
    visibility = django_filters.ChoiceFilter(choices=Visibility.choices)


class ReplicaFilters(django_filters.FilterSet):
    """What replicas may be asked for."""

    state = django_filters.MultipleChoiceFilter(choices=ReplicaState.choices)
    endpoint = django_filters.CharFilter(field_name="endpoint__slug")


# ------------------------------------------------------------------ what comes in


class RecipeIn(In):
    """What replicas are made of. `context_length` 0 takes the model's own, as far as that is sensible."""

    version = TypedIdField("mdv", help_text="A servable version of a model.")
    hardware = serializers.CharField(max_length=60)
    context_length = serializers.IntegerField(required=False, min_value=0, max_value=1_048_576)
    parallel = serializers.IntegerField(
        required=False, min_value=1, max_value=256, help_text="Requests at once per replica."
    )


class ScaleIn(In):
    """Between `least` and `most` replicas, as many as keep `metric` near `target` each. With `least` 0 and
    `idle_seconds` it sleeps when nobody calls, and the next request wakes it."""

    least = serializers.IntegerField(required=False, min_value=0, max_value=64)
    most = serializers.IntegerField(required=False, min_value=1, max_value=64)
    metric = serializers.ChoiceField(required=False, choices=ScaleMetric.choices)
    target = serializers.IntegerField(required=False, min_value=1, max_value=1_000_000)
    idle_seconds = serializers.IntegerField(required=False, min_value=0, max_value=86_400)
    spot_percent = serializers.IntegerField(required=False, min_value=0, max_value=100)
    has_fallback = serializers.BooleanField(required=False)


class EndpointIn(RecipeIn):
    """A new endpoint; `name` is what callers write as `model`."""

    name = serializers.RegexField(
        SLUG_PATTERN,
        max_length=63,
        error_messages={"invalid": _("A name has up to 63 lower-case letters, digits, dots and dashes.")},
    )
    title = serializers.CharField(required=False, max_length=80)
    region = serializers.CharField(max_length=40)
    scale = ScaleIn(required=False)
    policy = serializers.ChoiceField(required=False, choices=Policy.choices)
    queue_limit = serializers.IntegerField(required=False, min_value=1, max_value=100_000)
    drain_seconds = serializers.IntegerField(required=False, min_value=1, max_value=3600)


class TeamEndpointIn(EndpointIn):
    workspace = serializers.CharField(
        required=False,
        max_length=40,
        help_text="Address of the workspace; without it the key's, or `default`.",
    )


class CanaryIn(RecipeIn):
    """Something else, tried out on `weight` percent of the requests."""

    weight = serializers.IntegerField(min_value=1, max_value=99)


class WeightIn(In):
    weight = serializers.IntegerField(min_value=1, max_value=99)


_RECIPE = ("version", "hardware", "context_length", "parallel")


def recipe_of(given: dict[str, Any]) -> Recipe:
    return Recipe(**{name: given[name] for name in _RECIPE if name in given})


def spec_of(given: dict[str, Any]) -> EndpointSpec:
    more = {name: given[name] for name in ("policy", "queue_limit", "drain_seconds") if name in given}
    return EndpointSpec(
        slug=given["name"],
        name=given.get("title", ""),
        region=given["region"],
        recipe=recipe_of(given),
        scale=ScaleRules(**given.get("scale", {})),
        **more,
    )


# ------------------------------------------------------------------ what goes out


class RevisionOut(RowOut):
    """What replicas are, or were, made of."""

    hardware = serializers.CharField(source="hardware.slug")
    version_id = TypedIdField("mdv")

    class Meta:
        model = Revision
        fields = (
            "id",
            "number",
            "model_name",
            "version_id",
            "digest",
            "hardware",
            "context_length",
            "parallel",
            "is_revoked",
            "created_by_label",
            "created_at",
        )


class ScaleOut(Out):
    least = serializers.IntegerField(source="min_replicas")
    most = serializers.IntegerField(source="max_replicas")
    metric = serializers.ChoiceField(source="scale_metric", choices=ScaleMetric.choices)
    target = serializers.IntegerField(source="scale_target")
    idle_seconds = serializers.IntegerField()
    spot_percent = serializers.IntegerField()
    has_fallback = serializers.BooleanField()


class EndpointOut(RowOut):
    """An endpoint. `wanted` is how many replicas there shall be now, `ready` how many answer."""

    name = serializers.CharField(source="slug", help_text="What callers write as `model`.")
    title = serializers.CharField(source="name")
    state = serializers.ChoiceField(choices=EndpointState.choices)
    metering = serializers.ChoiceField(choices=Metering.choices)
    policy = serializers.ChoiceField(choices=Policy.choices)
    region = serializers.CharField(source="region.slug")
    ready = serializers.SerializerMethodField()
    scale = ScaleOut(source="*")
    revision = RevisionOut(allow_null=True)
    hourly = MoneyField(help_text="Price of an hour of one replica; 0 where tokens are charged.")

    class Meta:
        model = Endpoint
        fields: tuple[str, ...] = (
            "id",
            "name",
            "title",
            "state",
            "message",
            "modality",
            "model_name",
            "region",
            "metering",
            "policy",
            "wanted",
            "ready",
            "scale",
            "revision",
            "canary_weight",
            "queue_limit",
            "drain_seconds",
            "hourly",
            "currency",
            "operation_id",
            "created_by_label",
            "created_at",
            "ready_at",
            "deleted_at",
        )

    def get_ready(self, row: Endpoint) -> int:
        return int(getattr(row, "ready_count", 0))


class StaffEndpointOut(EndpointOut):
    """An endpoint as the platform's staff sees it."""

    visibility = serializers.ChoiceField(choices=Visibility.choices)
    team = serializers.CharField(source="team_name")
    team_id = TypedIdField("team", allow_null=True)

    class Meta(EndpointOut.Meta):
        fields = (*EndpointOut.Meta.fields, "visibility", "team", "team_id", "failures", "last_error")


class ReplicaOut(RowOut):
    """One engine of an endpoint."""

    endpoint = serializers.CharField(source="endpoint.slug")
    endpoint_id = TypedIdField("end")
    state = serializers.ChoiceField(choices=ReplicaState.choices)
    model_name = serializers.CharField(source="revision.model_name")
    revision = serializers.IntegerField(source="revision.number")
    hardware = serializers.CharField(source="revision.hardware.slug")
    region = serializers.CharField(source="region.slug")

    class Meta:
        model = Replica
        fields: tuple[str, ...] = (
            "id",
            "endpoint",
            "endpoint_id",
            "state",
            "message",
            "kind",
            "model_name",
            "revision",
            "hardware",
            "region",
            "is_spot",
            "outstanding",
            "created_at",
            "started_at",
            "noticed_at",
            "last_seen_at",
            "released_at",
        )


class EngineLogOut(RowOut):
    """The last lines that a replica's engine wrote, as they were at `read_at`; secrets are masked."""

    replica_id = TypedIdField("rep")
    is_following = serializers.SerializerMethodField(help_text="Whether newer lines may come; ask again.")

    class Meta:
        model = EngineLog
        fields = ("replica_id", "text", "read_at", "is_following")

    def get_is_following(self, log: EngineLog) -> bool:
        return log.replica.released_at is None


class StaffReplicaOut(ReplicaOut):
    """A replica with where it is and what its driver said; one of an external provider has no revision."""

    model_name = serializers.CharField(source="revision.model_name", allow_null=True, default=None)
    revision = serializers.IntegerField(source="revision.number", allow_null=True, default=None)
    hardware = serializers.CharField(source="revision.hardware.slug", allow_null=True, default=None)

    has_new_key = serializers.SerializerMethodField(
        help_text="Whether a provider's new key has still to be proven; the old one is used until then."
    )
    team = serializers.CharField(source="endpoint.team_name")
    cluster = serializers.CharField(source="cluster.slug", allow_null=True)
    node = serializers.CharField(source="node.name", allow_null=True)

    class Meta(ReplicaOut.Meta):
        fields = (
            *(*ReplicaOut.Meta.fields, "team", "cluster", "node", "url", "provider_model", "is_fallback"),
            *("has_new_key", "attempts", "last_error"),
        )

    def get_has_new_key(self, row: Replica) -> bool:
        return bool(row.next_key)


class HardwareOut(RowOut):
    """What replicas may run on, `formats` of models that do, and regions where an endpoint can be made."""

    gpu_model = serializers.CharField(source="gpu_model.slug", allow_null=True, default=None)
    product = serializers.CharField(read_only=True)
    formats = serializers.SerializerMethodField()
    regions = serializers.SerializerMethodField()

    class Meta:
        model = Hardware
        fields: tuple[str, ...] = (
            *("id", "slug", "name", "kinds", "vcpus", "memory_mib", "gpus", "gpu_model"),
            *("product", "formats", "regions"),
        )

    def get_formats(self, row: Hardware) -> list[str]:
        return offers.formats_on(row)

    def get_regions(self, row: Hardware) -> list[str]:
        return [region.slug for region in self.context["regions"] if offers.is_in(region, row)]


class HardwareActions(ApiViewSet, abstract=True):
    """Hardware for engines."""

    id_prefix = "hw"
    newest_first = False

    def list(self, request: Request) -> Response:
        """In order of their ids."""
        return self.page(reading.list_hardware(actor=self.actor))

    def context(self) -> dict[str, Any]:
        return {**super().context(), "regions": offers.regions_with_engines()}


def hardware_calls(shown: type[HardwareOut]) -> Mapping[str, Call]:
    """What may be asked about hardware; the same everywhere."""
    return {"list": Call(Permission.CATALOG_READ, shown, summary="List hardware for engines")}


def replica_calls(shown: type[ReplicaOut]) -> Mapping[str, Call]:
    """What may be done with replicas; the same everywhere."""
    return {
        "list": Call(READ, shown, summary="List replicas"),
        "retrieve": Call(READ, shown, summary="Look at a replica"),
        "replace": Call(Permission.ENDPOINT_OPERATE, shown, Nothing, 202, "Replace a replica"),
    }


class ReplicaActions(ApiViewSet, abstract=True):
    """Engines, as far as the caller may see them."""

    id_prefix = "rep"
    filters = ReplicaFilters

    def list(self, request: Request) -> Response:
        """Those that are there or coming, and those that failed; newest first."""
        return self.page(reading.list_replicas(actor=self.actor))

    def retrieve(self, request: Request, id: str) -> Response:
        """Stopped ones are still there to be looked at."""
        return self.answer(reading.get_replica(actor=self.actor, replica_id=self.id_of("rep", id)))

    @action(detail=True, methods=["post"])
    def replace(self, request: Request, id: str) -> Response:
        """It finishes what is open and goes; another takes its place."""
        self.body()
        replicas.replace_replica(actor=self.actor, replica_id=self.id_of("rep", id))
        return self.retrieve(request, id)
