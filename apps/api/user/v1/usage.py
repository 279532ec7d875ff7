"""What the team used."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, TeamViewSet
from apps.api.fields import MoneyField, Out
from apps.api.usage import UsageActions
from apps.billing.selectors import token_use, usage
from apps.core.clock import db_now
from apps.core.errors import Invalid
from apps.core.permissions import Permission

DAYS, MOST_DAYS, MOST_ROWS = 30, 366, 1000


class UsageViewSet(UsageActions, TeamViewSet):
    """What the team used, and what it cost."""

    def usage_rows(self) -> Any:
        return usage.visible_days(self.actor, team_id=self.scope.id)


class TokenSumOut(Out):
    """What one model, key, workspace or day was asked and answered; `key` says which."""

    key = serializers.CharField(allow_blank=True)
    name = serializers.CharField(source="label")
    requests = serializers.IntegerField()
    input = serializers.IntegerField()
    cached = serializers.IntegerField()
    output = serializers.IntegerField()
    embedding = serializers.IntegerField()
    amount = MoneyField()


class TokenUsageViewSet(TeamViewSet):
    """Tokens of every settled request of the team's keys."""

    calls = {"list": Call(Permission.USAGE_READ, TokenSumOut, summary="Add tokens up", many=True)}

    def list(self, request: Request) -> Response:
        """By model, the dearest first; `?by=key`, `?by=workspace`, `?by=day` (in order). Of the last 30 days
        (UTC), today included; `?days=`."""
        asked = request.query_params
        group, days = asked.get("by", "model"), asked.get("days", str(DAYS))
        if group not in token_use.GROUPS:
            raise Invalid("By model, key, workspace or day.", field="by")
        if not days.isascii() or not days.isdigit() or len(days) > 3 or not 1 <= int(days) <= MOST_DAYS:
            raise Invalid("Between 1 and 366 days.", field="days")
        first = db_now().astimezone(UTC).date() - timedelta(days=int(days) - 1)
        since = datetime.combine(first, time(), UTC)
        rows = token_use.requests_of(actor=self.actor, team_id=self.scope.id, since=since)
        found = token_use.by_group(rows, group)[:MOST_ROWS]
        return Response({"items": TokenSumOut(found, many=True).data, "next_cursor": None})
