"""What providers charge, and what is left of the revenue."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, timedelta
from decimal import Decimal
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, PlatformViewSet
from apps.api.fields import In, MoneyField, Out, RowOut, TypedIdField
from apps.billing.models import ProviderCost
from apps.billing.selectors import margin
from apps.billing.selectors.margin import MarginRow, Span
from apps.billing.services import costs
from apps.billing.services.costs import CostWish
from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.core.errors import Invalid
from apps.core.permissions import Permission

P = Permission
DAYS, MOST_DAYS = 30, 366
GROUPS: dict[str, Callable[[Actor, Span], Sequence[MarginRow]]] = {
    "product": margin.by_product,
    "model": margin.by_model,
    "region": margin.by_region,
}


class CostIn(In):
    """A line of a provider's bill; `reference` is the bill's own, once for good."""

    provider = serializers.CharField(max_length=80)
    reference = serializers.CharField(max_length=100)
    currency = serializers.RegexField(r"^[A-Z]{3}$")
    amount = MoneyField()
    starts_on = serializers.DateField()
    ends_on = serializers.DateField()
    product = serializers.CharField(max_length=80, required=False, allow_blank=True)
    region_id = TypedIdField("reg", required=False)


class CostOut(RowOut):
    """A line of a provider's bill, as it was booked."""

    region_id = TypedIdField("reg", allow_null=True, read_only=True)
    transaction_id = TypedIdField("ltx", read_only=True)

    class Meta:
        model = ProviderCost
        fields = (
            "id", "provider", "reference", "product", "region_id", "currency", "amount", "starts_on",
            "ends_on", "transaction_id", "created_by", "created_at",
        )  # fmt: skip


class CostViewSet(PlatformViewSet):
    """What providers and partners charge us."""

    calls = {
        "list": Call(P.BILLING_READ, CostOut, summary="List providers' bills"),
        "create": Call(P.WALLET_CREDIT, CostOut, CostIn, 201, summary="Record a provider's bill"),
    }

    def list(self, request: Request) -> Response:
        """The latest first."""
        return self.page(margin.costs(self.actor))

    def create(self, request: Request) -> Response:
        """The same reference again changes nothing; with another amount it is refused."""
        return self.answer(costs.record_cost(actor=self.actor, wish=CostWish(**self.body())))


class MarginOut(Out):
    """What came in, what it cost, what is left; `share` is of the revenue. Of models also the `tokens` that
    brought it in, and what their providers charged in other currencies, which is not in `cost`."""

    key = serializers.CharField(allow_blank=True)
    revenue = MoneyField()
    cost = MoneyField()
    margin = MoneyField()
    share = serializers.SerializerMethodField()
    tokens = serializers.IntegerField(allow_null=True, default=None)
    elsewhere = serializers.DictField(child=MoneyField(), default=dict)

    def get_share(self, row: Any) -> str | None:
        return None if row.share is None else str(row.share.quantize(Decimal("0.0001")))


class MarginViewSet(PlatformViewSet):
    """Revenue against providers' bills."""

    calls = {"list": Call(P.BILLING_READ, MarginOut, summary="Look at the margin", many=True)}

    def list(self, request: Request) -> Response:
        """Of the last 30 days by product in EUR; `?days=`, `?currency=`, `?by=model` or `region`."""
        asked = request.query_params
        group = GROUPS.get(asked.get("by", "product"))
        days = asked.get("days", str(DAYS))
        if group is None or not days.isascii() or not days.isdigit() or not 1 <= int(days[:6]) <= MOST_DAYS:
            raise Invalid("Between 1 and 366 days, by product, model or region.", field="days")
        until: date = db_now().astimezone(UTC).date()
        span = Span(until - timedelta(days=int(days) - 1), until, asked.get("currency", "EUR")[:3])
        return Response({"items": MarginOut(group(self.actor, span), many=True).data, "next_cursor": None})
