"""What the team may use, and how much it does."""

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, TeamViewSet
from apps.api.fields import Out
from apps.core.permissions import Permission
from apps.policies import selectors
from apps.regions.models import Region


class LimitOut(Out):
    """One line of the team's resource policy; `maximum` null is unlimited."""

    level = serializers.CharField(source="limit.level")
    target = serializers.CharField(source="limit.target")
    metric = serializers.CharField(source="limit.metric")
    maximum = serializers.IntegerField(source="limit.ceiling", allow_null=True)
    used = serializers.IntegerField()


class LimitViewSet(TeamViewSet):
    """What the team may use at most, and how much it does."""

    calls = {"list": Call(Permission.POLICY_READ, LimitOut, summary="List limits")}

    def list(self, request: Request) -> Response:
        """What no line names is unlimited; all on one page."""
        self.filtered(Region.objects.none())
        lines = selectors.limits_for_team(actor=self.actor, team_id=str(self.team.pk))
        return Response({"items": LimitOut(lines, many=True).data, "next_cursor": None})
