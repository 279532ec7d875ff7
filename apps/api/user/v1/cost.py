"""What a launch would cost, where money could be saved, and credit by voucher."""

from decimal import Decimal
from typing import Any

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, TeamViewSet
from apps.api.fields import In, MoneyField, Out
from apps.api.user.v1.instances import WishIn
from apps.api.user.v1.prices import RateIn
from apps.billing.selectors import advice, estimates
from apps.billing.selectors.estimates import Counted
from apps.billing.services import grants
from apps.billing.specs import HOURS_PER_MONTH, TOKEN_KINDS, Rate
from apps.core.clock import db_now
from apps.core.money import ZERO
from apps.core.permissions import Permission
from apps.instances.selectors import offers
from apps.instances.specs import InstanceSpec


class TokensIn(In):
    """So many tokens a month of a model."""

    model = serializers.CharField(max_length=60)
    input = serializers.IntegerField(min_value=0, required=False)
    cached = serializers.IntegerField(min_value=0, required=False)
    output = serializers.IntegerField(min_value=0, required=False)
    embedding = serializers.IntegerField(min_value=0, required=False)


class EstimateIn(In):
    """What is to be launched: an `instance` as for a launch, plain `rates`, `tokens`, or several of these."""

    instance = WishIn(required=False)
    count = serializers.IntegerField(min_value=1, max_value=1000, required=False)
    rates = serializers.ListField(child=RateIn(), max_length=50, required=False)
    tokens = serializers.ListField(child=TokensIn(), max_length=20, required=False)
    hours = MoneyField(
        max_digits=9, decimal_places=3, min_value=Decimal(0), max_value=Decimal(744), required=False,
        help_text="How long it runs in a month; 730 by default.",
    )  # fmt: skip


class EstimateLineOut(Out):
    product = serializers.CharField()
    quantity = MoneyField()
    unit = serializers.CharField()
    unit_price = MoneyField()
    hourly = MoneyField()
    monthly = MoneyField()
    version_id = serializers.CharField()
    spot_hourly = MoneyField(allow_null=True)


class EstimateOut(Out):
    """At today's prices and terms; `runway_hours` is how long the money lasts with all that runs."""

    currency = serializers.CharField()
    hours = MoneyField()
    lines = EstimateLineOut(many=True)
    hourly = MoneyField()
    daily = MoneyField()
    monthly = MoneyField()
    runway_hours = MoneyField(allow_null=True)


class AdviceRowOut(Out):
    day = serializers.DateField()
    resource_id = serializers.CharField()
    product = serializers.CharField()
    unit_hours = MoneyField()
    amount = MoneyField()
    instead = MoneyField()


class AdviceOut(Out):
    """One way to spend less: `saving` per 30 days, and the usage it rests on.

    Where it rests on measurements, `measured_hours` says for how long, `peaks` what was used at most, in
    percent of what there is (`cpu`, `memory`, `gpu`, `gpu_memory`); `instead` is the product to take.
    """

    kind = serializers.CharField()
    subject = serializers.CharField()
    name = serializers.CharField()
    saving = MoneyField()
    days = serializers.IntegerField()
    instead = serializers.CharField()
    measured_hours = MoneyField(allow_null=True)
    peaks = serializers.DictField(child=MoneyField())
    rows = AdviceRowOut(many=True)


class AdvicesOut(Out):
    """The greatest saving first."""

    currency = serializers.CharField()
    items = AdviceOut(many=True)


class CostViewSet(TeamViewSet):
    """Cost before and after the fact."""

    calls = {
        "estimate": Call(Permission.PRICE_READ, EstimateOut, EstimateIn, summary="Estimate a launch"),
        "advice": Call(Permission.USAGE_READ, AdvicesOut, summary="See where money could be saved"),
    }

    @action(detail=False, methods=["post"])
    def estimate(self, request: Request) -> Response:
        """Nothing is made or held. 422 `no_price` names a product that is not sold in the team's currency."""
        given = self.body()
        found = estimates.estimate(
            _rates(given),
            team_id=self.scope.id,
            at=db_now(),
            hours=given.get("hours", Decimal(HOURS_PER_MONTH)),
            counted=_tokens(given),
        )
        if not self.actor.can(Permission.BILLING_READ, self.scope):
            found = found.without_balance()
        return self.answer(found)

    @action(detail=False, methods=["get"])
    def advice(self, request: Request) -> Response:
        """From the last fourteen days (UTC); each row can be found again in the usage. A machine counts as
        idle after a day of measurements, as too large after three."""
        items = advice.advise(self.actor, team_id=self.scope.id, now=db_now())
        return self.answer({"currency": self.team.currency, "items": items})


def _rates(given: dict[str, Any]) -> list[Rate]:
    rates = [Rate(**rate) for rate in given.get("rates", ())]
    if wish := given.get("instance"):
        wish.pop("workspace", None)
        spec = InstanceSpec(**wish)
        times = Decimal(given.get("count", 1))
        rates += [Rate(one.product, one.quantity * times) for one in offers.find(spec).rates(spec)]
    return rates


def _tokens(given: dict[str, Any]) -> list[Counted]:
    return [
        Counted(f"tokens:{one['model']}:{kind}", Decimal(one[kind]) / 1_000_000, "1M tokens")
        for one in given.get("tokens", ())
        for kind in TOKEN_KINDS
        if one.get(kind, ZERO)
    ]


class CodeIn(In):
    code = serializers.CharField(max_length=60)


class CreditOut(Out):
    """What the voucher was worth."""

    amount = MoneyField()
    currency = serializers.CharField()


class VoucherViewSet(TeamViewSet):
    """Codes that turn into credit."""

    calls = {"create": Call(Permission.BILLING_MANAGE, CreditOut, CodeIn, 201, summary="Enter a voucher")}

    def create(self, request: Request) -> Response:
        """Once per team; a code that is wrong, over or used up is 404 alike."""
        made = grants.redeem(actor=self.actor, team=self.team, code=self.body()["code"])
        return self.answer({"amount": grants.worth(made), "currency": made.currency})
