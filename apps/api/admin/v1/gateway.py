"""The gateway: how its workers are, and how much may be asked of it."""

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, PlatformViewSet
from apps.api.rate_limits import RateLimitFilters, RateLimitIn, RateLimitOut, WorkerOut, limits_of
from apps.core.errors import Invalid
from apps.core.permissions import Permission
from apps.inference.selectors import gateways
from apps.inference.selectors import limits as in_force
from apps.inference.services import limits
from apps.inference.states import LimitLevel
from apps.teams.selectors import rows


class LevelIn(RateLimitIn):
    """What holds on a level; with `team_id` (level `team`) for that one only."""

    level = serializers.ChoiceField(choices=LimitLevel.choices)
    team_id = serializers.CharField(required=False, max_length=40)


class RateLimitViewSet(PlatformViewSet):
    """Requests per minute and tokens per day, on four levels; the tightest one decides."""

    id_prefix = "lim"
    filters = RateLimitFilters
    calls = {
        "list": Call(Permission.LIMIT_READ, RateLimitOut, summary="List limits that were set"),
        "create": Call(Permission.LIMIT_MANAGE, RateLimitOut, LevelIn, summary="Set a limit"),
    }

    def list(self, request: Request) -> Response:
        return self.page(in_force.list_limits(actor=self.actor))

    def create(self, request: Request) -> Response:
        """Replaces what was set before. Effective within five seconds."""
        body = self.body()
        if "team_id" not in body:
            made = limits.set_level(actor=self.actor, level=body["level"], limits=limits_of(body))
        elif body["level"] == LimitLevel.TEAM:
            team = rows.team(self.actor, body["team_id"])
            made = limits.set_team(actor=self.actor, team=team, limits=limits_of(body))
        else:
            raise Invalid("A team's limit stands on the level `team`.", field="team_id")
        return self.answer(made)


class GatewayViewSet(PlatformViewSet):
    """The processes that serve `/v1`."""

    calls = {"list": Call(Permission.LIMIT_READ, WorkerOut, summary="List the gateway's workers")}

    def list(self, request: Request) -> Response:
        """Those that were heard of lately; a silent one has told nothing for ten seconds."""
        items = WorkerOut(gateways.workers(), many=True).data
        return Response({"items": items, "next_cursor": None})
