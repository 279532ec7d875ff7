"""What the team used."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

import django_filters
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, TeamViewSet
from apps.api.fields import MoneyField, Out
from apps.api.pagination import read_limit
from apps.api.usage import UsageActions
from apps.billing.models import TokenRequest
from apps.billing.selectors import token_use, usage
from apps.core.clock import db_now
from apps.core.errors import Invalid
from apps.core.ids import decode, encode
from apps.core.permissions import Permission

DAYS, MOST_DAYS, MOST_ROWS = 30, 366, 1000
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)


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


class TokenRequestFilters(django_filters.FilterSet):
    """Which requests; times are those of their ends."""

    model = django_filters.CharFilter(field_name="slug")
    key = django_filters.CharFilter(field_name="key_id")
    outcome = django_filters.CharFilter()
    since = django_filters.IsoDateTimeFilter(field_name="finished_at", lookup_expr="gte")
    until = django_filters.IsoDateTimeFilter(field_name="finished_at", lookup_expr="lt")


class TokenRequestOut(Out):
    """One request; `id` is that of its receipt. `input` was not cached; `first_ms` passed until the first
    byte of a stream."""

    id = serializers.SerializerMethodField()
    model = serializers.CharField(source="slug")
    key_id = serializers.CharField(allow_null=True)
    workspace_id = serializers.CharField()
    endpoint_id = serializers.CharField(allow_null=True)
    outcome = serializers.CharField()
    stream = serializers.BooleanField()
    input = serializers.IntegerField()
    cached = serializers.IntegerField()
    output = serializers.IntegerField()
    embedding = serializers.IntegerField()
    amount = MoneyField()
    currency = serializers.CharField()
    started_at = serializers.DateTimeField()
    first_ms = serializers.IntegerField(allow_null=True)
    finished_at = serializers.DateTimeField()

    def get_id(self, row: TokenRequest) -> str:
        return encode("rcp", row.pk)


class TokenRequestViewSet(TeamViewSet):
    """What the team's keys asked of models, request by request."""

    filters = TokenRequestFilters
    calls = {"list": Call(Permission.USAGE_READ, TokenRequestOut, summary="List requests")}

    def list(self, request: Request) -> Response:
        """Settled ones, those that ended last first. `GET /v1/receipts/{id}` gives the signed receipt."""
        asked = request.query_params
        limit = read_limit(asked)
        rows = token_use.requests_of(actor=self.actor, team_id=self.scope.id, since=BEGINNING)
        found = token_use.latest(self.filtered(rows), before=_before(asked.get("cursor", "")), most=limit + 1)
        shown = found[:limit]
        more = encode("rcp", shown[-1].pk) if len(found) > limit else None
        return Response({"items": TokenRequestOut(shown, many=True).data, "next_cursor": more})


def _before(cursor: str) -> str:
    try:
        return str(decode("rcp", cursor)) if cursor else ""
    except ValueError as error:
        raise Invalid("This is no cursor of this list.", field="cursor", code="invalid_cursor") from error
