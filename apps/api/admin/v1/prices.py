"""The price book."""

from typing import Any

import django_filters
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, PlatformViewSet
from apps.api.fields import In, MoneyField, Out, RowOut, TypedIdField
from apps.billing import services
from apps.billing.curves import Tier
from apps.billing.models import PriceVersion
from apps.billing.selectors import prices
from apps.billing.services import previews
from apps.billing.services.prices import NewPrice
from apps.billing.states import PriceModel
from apps.core.permissions import Permission


class PriceFilters(django_filters.FilterSet):
    """What versions may be asked for."""

    product = django_filters.CharFilter()
    book = django_filters.CharFilter()
    currency = django_filters.CharFilter()
    state = django_filters.ChoiceFilter(
        choices=[("in_force", "in force"), ("scheduled", "scheduled"), ("past", "past")], method="in_state"
    )

    def in_state(self, rows: prices.Versions, _name: str, value: str) -> prices.Versions:
        return rows.in_state(value)


class TierIn(In):
    """The price of units up to a bound; the last tier has none."""

    up_to = MoneyField(max_digits=28, decimal_places=12, allow_null=True)
    price = MoneyField(max_digits=28, decimal_places=12)


class PriceIn(In):
    """From `valid_from` on, a unit of the product costs this; for what is charged by time, an hour of it."""

    product = serializers.CharField(
        max_length=80, help_text="`type:…`, `gpu:…`, `disk` (GiB), `ip`, `tokens:<model>:<kind>`, `egress` …"
    )
    currency = serializers.CharField(max_length=3)
    unit_price = MoneyField(max_digits=28, decimal_places=12)
    book = serializers.CharField(max_length=40, required=False, help_text="A price list; else `standard`.")
    model = serializers.ChoiceField(PriceModel.choices, required=False)
    tiers = serializers.ListField(child=TierIn(), required=False, max_length=20)
    package_size = MoneyField(max_digits=28, decimal_places=12, required=False)
    included = MoneyField(max_digits=28, decimal_places=12, required=False)
    valid_from = serializers.DateTimeField(required=False, help_text="By default a minute from now.")
    note = serializers.CharField(max_length=200, required=False, allow_blank=True)


class PriceOut(RowOut):
    """One version of one price; versions follow one another without a gap and are never changed."""

    class Meta:
        model = PriceVersion
        fields = (
            "id", "product", "currency", "book", "model", "unit_price", "tiers", "package_size", "included",
            "valid_from", "valid_until", "note", "created_by",
            "created_at",
        )  # fmt: skip


class PreviewTeamOut(Out):
    """A team that the price would concern."""

    team_id = TypedIdField("team")
    name = serializers.CharField()
    resources = serializers.IntegerField()
    before = MoneyField()
    after = MoneyField()


class PreviewOut(Out):
    """What the teams concerned paid for the product in 30 days, and would have paid."""

    teams = PreviewTeamOut(many=True)
    resources = serializers.IntegerField()
    before = MoneyField()
    after = MoneyField()


def _new(given: dict[str, Any]) -> NewPrice:
    tiers = tuple(Tier(**tier) for tier in given.pop("tiers", ()))
    return NewPrice(**given, tiers=tiers)


class PriceViewSet(PlatformViewSet):
    """Every price that was, is or will be."""

    id_prefix = "prv"
    filters = PriceFilters
    calls = {
        "list": Call(Permission.PRICE_READ, PriceOut, summary="List price versions"),
        "create": Call(Permission.PRICE_MANAGE, PriceOut, PriceIn, 201, summary="Set a price"),
        "preview": Call(Permission.PRICE_MANAGE, PreviewOut, PriceIn, summary="Preview a price"),
        "retrieve": Call(Permission.PRICE_READ, PriceOut, summary="Look at a price version"),
        "destroy": Call(Permission.PRICE_MANAGE, status=204, summary="Withdraw a scheduled price"),
    }

    def list(self, request: Request) -> Response:
        """Newest first."""
        return self.page(prices.price_book(actor=self.actor))

    def create(self, request: Request) -> Response:
        """The version before ends where this one begins. Running resources pay it from then on."""
        return self.answer(services.schedule_price(actor=self.actor, new=_new(self.body())))

    @action(detail=False, methods=["post"])
    def preview(self, request: Request) -> Response:
        """Whom a price would concern, and what the last 30 days would have cost with it; changes nothing."""
        return self.answer(previews.preview(actor=self.actor, new=_new(self.body())))

    def retrieve(self, request: Request, id: str) -> Response:
        """One version."""
        return self.answer(prices.find_version(actor=self.actor, version_id=self.id_of("prv", id)))

    def destroy(self, request: Request, id: str) -> Response:
        """Only what has not come into force; the version before goes on."""
        version = prices.find_version(actor=self.actor, version_id=self.id_of("prv", id))
        services.withdraw_price(actor=self.actor, version=version)
        return Response(status=204)
