"""How endpoints are changed through the APIs: scale rules, updates that roll, canaries, the way back."""

from collections.abc import Mapping
from typing import Any

from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import ApiViewSet, Call
from apps.api.endpoints import (
    READ,
    CanaryIn,
    EndpointOut,
    RecipeIn,
    RevisionOut,
    ScaleIn,
    WeightIn,
    recipe_of,
)
from apps.api.fields import Nothing
from apps.core.permissions import Permission
from apps.inference.selectors import reading
from apps.inference.services import endpoints, rollouts
from apps.inference.specs import ScaleRules

UPDATE = Permission.ENDPOINT_UPDATE


def change_calls(shown: type[EndpointOut]) -> Mapping[str, Call]:
    """What may be changed about an endpoint; the same everywhere."""
    return {
        "scale": Call(UPDATE, shown, ScaleIn, summary="Change how it grows and shrinks"),
        "deploy": Call(UPDATE, shown, RecipeIn, 202, "Serve something else"),
        "rollback": Call(UPDATE, shown, Nothing, 202, "Go back to what was served before"),
        "canary": Call(UPDATE, shown, CanaryIn, 202, "Try something out on a share of the requests"),
        "weigh": Call(UPDATE, shown, WeightIn, summary="Give the canary another share"),
        "promote": Call(UPDATE, shown, Nothing, 202, "Let the canary take over"),
        "drop": Call(UPDATE, shown, Nothing, summary="Take the canary away"),
        "revisions": Call(READ, RevisionOut, summary="See what it has been made of", many=True),
    }


class EndpointChanges(ApiViewSet, abstract=True):
    """Changes of endpoints, as far as the caller may see them."""

    id_prefix = "end"

    @action(detail=True, methods=["post"])
    def scale(self, request: Request, id: str) -> Response:
        """Holds at once; what is not named takes its usual value."""
        rules = ScaleRules(**self.body())
        endpoints.set_scale(actor=self.actor, endpoint_id=self.id_of("end", id), scale=rules)
        return self.shown(id)

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
        return self.shown(id)

    def shown(self, id: str) -> Response:
        return self.answer(reading.get_endpoint(actor=self.actor, endpoint_id=self.id_of("end", id)))
