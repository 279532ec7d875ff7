"""The team's endpoints: models that answer under a name."""

from typing import Any

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, TeamViewSet
from apps.api.endpoint_changes import EndpointChanges, change_calls
from apps.api.endpoints import (
    READ,
    REFUSALS,
    EndpointFilters,
    EndpointOut,
    EngineLogOut,
    HardwareActions,
    HardwareOut,
    ReplicaActions,
    ReplicaOut,
    TeamEndpointIn,
    hardware_calls,
    replica_calls,
    spec_of,
)
from apps.api.fields import MoneyField
from apps.billing.selectors.prices import book_of
from apps.core.errors import Invalid
from apps.core.permissions import Permission
from apps.inference.models import Hardware
from apps.inference.selectors import reading
from apps.inference.services import endpoints, logs, making
from apps.teams.selectors.rows import workspace_named

DEFAULT_WORKSPACE = "default"


class EndpointViewSet(EndpointChanges, TeamViewSet):
    """Models behind names. What takes long answers 202; follow its `operation_id`."""

    filters = EndpointFilters
    called = {"slug": "name"}
    calls = {
        "list": Call(READ, EndpointOut, summary="List endpoints"),
        "retrieve": Call(READ, EndpointOut, summary="Look at an endpoint"),
        "create": Call(
            Permission.ENDPOINT_CREATE,
            EndpointOut,
            TeamEndpointIn,
            202,
            "Launch a model",
            own_errors=REFUSALS,
        ),
        "destroy": Call(Permission.ENDPOINT_DELETE, EndpointOut, None, 202, "Delete an endpoint"),
        **change_calls(EndpointOut),
    }

    def list(self, request: Request) -> Response:
        """All that have not been deleted, newest first."""
        return self.page(reading.list_endpoints(actor=self.actor))

    def retrieve(self, request: Request, id: str) -> Response:
        """Deleted ones are still there to be looked at."""
        return self.shown(id)

    def create(self, request: Request) -> Response:
        """Accepted when there is money for its first replicas and something that can run them."""
        given = self.body()
        slug = given.pop("workspace", None)
        if slug is None and not self.actor.workspace_id:
            slug = DEFAULT_WORKSPACE
        workspace = workspace_named(self.actor, self.team, slug, self.call.permission)
        if workspace is None:
            raise Invalid("There is no such workspace.", field="workspace", code="no_such_workspace")
        made = making.create_endpoint(
            actor=self.actor, team=self.team, workspace=workspace, spec=spec_of(given)
        )
        return self.shown(str(made.pk))

    def destroy(self, request: Request, id: str) -> Response:
        """For good: open requests are finished, then every engine goes."""
        endpoints.delete_endpoint(actor=self.actor, endpoint_id=self.id_of("end", id))
        return self.shown(id)


class ReplicaViewSet(ReplicaActions, TeamViewSet):
    """The engines that answer for the team's endpoints."""

    calls = {
        **replica_calls(ReplicaOut),
        "log": Call(Permission.ENDPOINT_LOGS, EngineLogOut, summary="Read what its engine writes"),
    }

    @action(detail=True)
    def log(self, request: Request, id: str) -> Response:
        """The last lines, 64 kB at most. To follow it ask every other second, with `If-None-Match`."""
        return self.answer(logs.follow_log(actor=self.actor, replica_id=self.id_of("rep", id)))


class TeamHardwareOut(HardwareOut):
    """Hardware with what an hour of one replica costs the team; null: it has no price."""

    hourly = serializers.SerializerMethodField()
    currency = serializers.SerializerMethodField()

    class Meta(HardwareOut.Meta):
        fields = (*HardwareOut.Meta.fields, "hourly", "currency")

    def get_hourly(self, row: Hardware) -> MoneyField(allow_null=True):  # type: ignore[valid-type]
        price = self.context["book"].get(row.product)
        return None if price is None else MoneyField().to_representation(price.unit_price)

    def get_currency(self, row: Hardware) -> str:
        return str(self.context["currency"])


class HardwareViewSet(HardwareActions, TeamViewSet):
    """What replicas may run on."""

    calls = hardware_calls(TeamHardwareOut)

    def context(self) -> dict[str, Any]:
        return {**super().context(), "book": book_of(self.scope.id), "currency": self.team.currency}
