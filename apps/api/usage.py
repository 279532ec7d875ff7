"""Usage as the APIs show it: rows per day, resource and product, and sums by one of them."""

from collections.abc import Collection
from typing import Any, ClassVar

import django_filters
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import ApiViewSet, Call
from apps.api.fields import MoneyField, Out
from apps.billing.models import UsageDay
from apps.billing.selectors import usage
from apps.core.errors import NotFound
from apps.core.permissions import Permission


class UsageFilters(django_filters.FilterSet):
    """Days are UTC, both ends included."""

    since = django_filters.DateFilter(
        field_name="day", lookup_expr="gte", help_text="First day, `2026-03-01`."
    )
    until = django_filters.DateFilter(field_name="day", lookup_expr="lte", help_text="Last day, included.")
    product = django_filters.CharFilter(help_text="`type:…`, `gpu:…`, `disk` or `ip`.")
    resource = django_filters.CharFilter(field_name="resource_id", max_length=40, help_text="`ins_…`")

    class Meta:
        model = UsageDay
        fields: tuple[str, ...] = ()


class UsageOut(Out):
    """What one resource used of one product on one day (UTC), exact to the microsecond."""

    day = serializers.DateField()
    product = serializers.CharField()
    resource_id = serializers.CharField()
    resource_name = serializers.CharField(allow_null=True)
    workspace_id = serializers.CharField()
    seconds = MoneyField()
    unit_seconds = MoneyField()
    quantity = MoneyField(help_text="Of what is counted, not timed, as it is priced: millions of tokens.")
    amount = MoneyField()
    currency = serializers.CharField()


class UsageSumOut(Out):
    """The usage of one day, product, resource or workspace in one currency; `key` says which."""

    key = serializers.CharField()
    name = serializers.CharField(source="label")
    seconds = MoneyField()
    unit_seconds = MoneyField()
    tokens = serializers.IntegerField()
    amount = MoneyField()
    currency = serializers.CharField()


class UsageActions(ApiViewSet, abstract=True):
    """What was used, and what it cost."""

    filters: Any = UsageFilters
    groups: ClassVar[Collection[str]] = usage.GROUPS
    calls = {
        "list": Call(Permission.USAGE_READ, UsageOut, summary="List usage by day, resource and product"),
        "by": Call(Permission.USAGE_READ, UsageSumOut, summary="Add usage up", many=True),
    }

    def usage_rows(self) -> Any:
        """The usage of the place that the request is about."""
        raise NotImplementedError

    def list(self, request: Request) -> Response:
        """One row per day (UTC), resource and product."""
        return self.page(usage.named(self.usage_rows()))

    @action(detail=False, methods=["get"], url_path="by/(?P<group>[^/]+)")
    def by(self, request: Request, group: str) -> Response:
        """Sums by `day` (in order), or by `product`, `resource` or `workspace` (the dearest first)."""
        if group not in self.groups:
            raise NotFound("no such group")
        rows = usage.by_group(self.filtered(self.usage_rows()), group)
        return Response({"items": UsageSumOut(rows[:1000], many=True).data, "next_cursor": None})
