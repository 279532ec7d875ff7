"""The team's endpoints: models that answer under a name."""

from typing import Any

from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, TeamViewSet
from apps.api.endpoints import (
    READ,
    REFUSALS,
    CanaryIn,
    EndpointFilters,
    EndpointOut,
    EngineLogOut,
    HardwareOut,
    RecipeIn,
    ReplicaActions,
    ReplicaOut,
    RevisionOut,
    ScaleIn,
    TeamEndpointIn,
    WeightIn,
    recipe_of,
    replica_calls,
    spec_of,
)
from apps.api.fields import Nothing
from apps.core.errors import Invalid
from apps.core.permissions import Permission
from apps.inference.selectors import reading
from apps.inference.services import endpoints, logs, making, rollouts
from apps.inference.specs import ScaleRules
from apps.teams.selectors.rows import workspace_named

UPDATE = Permission.ENDPOINT_UPDATE
DEFAULT_WORKSPACE = "default"


class EndpointViewSet(TeamViewSet):
    """Models behind names. What takes long answers 202; follow its `operation_id`."""

    id_prefix = "end"
    filters = EndpointFilters
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
        "scale": Call(UPDATE, EndpointOut, ScaleIn, summary="Change how it grows and shrinks"),
        "deploy": Call(UPDATE, EndpointOut, RecipeIn, 202, "Serve something else"),
        "rollback": Call(UPDATE, EndpointOut, Nothing, 202, "Go back to what was served before"),
        "canary": Call(UPDATE, EndpointOut, CanaryIn, 202, "Try something out on a share of the requests"),
        "weigh": Call(UPDATE, EndpointOut, WeightIn, summary="Give the canary another share"),
        "promote": Call(UPDATE, EndpointOut, Nothing, 202, "Let the canary take over"),
        "drop": Call(UPDATE, EndpointOut, Nothing, summary="Take the canary away"),
        "revisions": Call(READ, RevisionOut, summary="See what it has been made of", many=True),
    }

    def list(self, request: Request) -> Response:
        """All that have not been deleted, newest first."""
        return self.page(reading.list_endpoints(actor=self.actor))

    def retrieve(self, request: Request, id: str) -> Response:
        """Deleted ones are still there to be looked at."""
        return self._shown(id)

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
        return self._shown(str(made.pk))

    def destroy(self, request: Request, id: str) -> Response:
        """For good: open requests are finished, then every engine goes."""
        endpoints.delete_endpoint(actor=self.actor, endpoint_id=self.id_of("end", id))
        return self._shown(id)

    @action(detail=True, methods=["post"])
    def scale(self, request: Request, id: str) -> Response:
        """Holds at once; what is not named takes its usual value."""
        rules = ScaleRules(**self.body())
        endpoints.set_scale(actor=self.actor, endpoint_id=self.id_of("end", id), scale=rules)
        return self._shown(id)

    @action(detail=True, methods=["post"])
    def deploy(self, request: Request, id: str) -> Response:
        """A rolling update: new replicas serve before old ones go."""
        return self._rolled(rollouts.update_endpoint, id, recipe=recipe_of(self.body()))

    @action(detail=True, methods=["post"])
    def rollback(self, request: Request, id: str) -> Response:
        """Also rolls; an update that is under way is called off."""
        self.body()
        return self._rolled(rollouts.roll_back, id)

    @action(detail=True, methods=["post"])
    def canary(self, request: Request, id: str) -> Response:
        """It has replicas of its own."""
        given = self.body()
        return self._rolled(rollouts.set_canary, id, recipe=recipe_of(given), weight=given["weight"])

    @action(detail=True, methods=["post"])
    def weigh(self, request: Request, id: str) -> Response:
        """Holds within two seconds."""
        return self._rolled(rollouts.weigh_canary, id, weight=self.body()["weight"])

    @action(detail=True, methods=["post"])
    def promote(self, request: Request, id: str) -> Response:
        """What served before can be gone back to."""
        self.body()
        return self._rolled(rollouts.promote_canary, id)

    @action(detail=True, methods=["post"])
    def drop(self, request: Request, id: str) -> Response:
        """Its replicas finish what is open and go."""
        self.body()
        return self._rolled(rollouts.drop_canary, id)

    @action(detail=True)
    def revisions(self, request: Request, id: str) -> Response:
        """Newest first."""
        found = reading.get_endpoint(actor=self.actor, endpoint_id=self.id_of("end", id))
        return self.page(reading.list_revisions(actor=self.actor, endpoint_id=str(found.pk)))

    def _rolled(self, service: Any, id: str, **asked: Any) -> Response:
        service(actor=self.actor, endpoint_id=self.id_of("end", id), **asked)
        return self._shown(id)

    def _shown(self, id: str) -> Response:
        return self.answer(reading.get_endpoint(actor=self.actor, endpoint_id=self.id_of("end", id)))


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


class HardwareViewSet(TeamViewSet):
    """What replicas may run on."""

    id_prefix = "hw"
    newest_first = False
    calls = {"list": Call(Permission.CATALOG_READ, HardwareOut, summary="List hardware for engines")}

    def list(self, request: Request) -> Response:
        """In order of their ids."""
        return self.page(reading.list_hardware(actor=self.actor))
