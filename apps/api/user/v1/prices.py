"""What things cost, and what a set of them would."""

from decimal import Decimal
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, TeamViewSet
from apps.api.fields import In, MoneyField, Out, RowOut
from apps.billing.models import PriceVersion
from apps.billing.selectors import prices, wallets
from apps.billing.specs import Rate
from apps.core.clock import db_now
from apps.core.permissions import Permission


class PriceOut(RowOut):
    """The price of a unit of a product for an hour; charged by the second."""

    class Meta:
        model = PriceVersion
        fields = ("id", "product", "currency", "unit_price", "valid_from", "valid_until")


class PriceViewSet(TeamViewSet):
    """The prices in force, in the team's currency."""

    calls = {"list": Call(Permission.PRICE_READ, PriceOut, summary="List prices")}

    def list(self, request: Request) -> Response:
        """Those in force now; `valid_until` tells of a change to come."""
        return self.page(prices.price_list(currency=self.team.currency, at=db_now()))


class RateIn(In):
    product = serializers.CharField(max_length=80, help_text="`type:…`, `gpu:…`, `disk` (GiB) or `ip`.")
    quantity = MoneyField(
        max_digits=20, decimal_places=6, min_value=Decimal(0), max_value=Decimal(10**9), required=False
    )


class QuoteIn(In):
    """What is to be priced, as it would run."""

    rates = serializers.ListField(child=RateIn(), allow_empty=False, max_length=50)


class QuoteLineOut(Out):
    product = serializers.CharField()
    quantity = MoneyField()
    unit_price = MoneyField()
    hourly = MoneyField()
    version_id = serializers.CharField()


class QuoteOut(Out):
    """A day has 24 hours, a month 730. `runway_hours` is how long the money would last with all that runs."""

    currency = serializers.CharField()
    lines = QuoteLineOut(many=True)
    hourly = MoneyField()
    daily = MoneyField()
    monthly = MoneyField()
    runway_hours = MoneyField(allow_null=True)


class QuoteViewSet(TeamViewSet):
    """Prices of things that do not exist yet."""

    calls = {"create": Call(Permission.PRICE_READ, QuoteOut, QuoteIn, summary="Price something")}

    def create(self, request: Request) -> Response:
        """Nothing is made or held. 422 `no_price` names a product that is not sold in the team's currency."""
        rates = [Rate(**rate) for rate in self.body()["rates"]]
        quote = prices.quote(rates, team_id=self.scope.id, at=db_now())
        return self.answer({**_as_dict(quote), "runway_hours": self._runway(quote.hourly)})

    def _runway(self, hourly: Decimal) -> Decimal | None:
        if not self.actor.can(Permission.BILLING_READ, self.scope):
            return None
        return wallets.runway(self.scope.id, extra=hourly)


def _as_dict(quote: Any) -> dict[str, Any]:
    return {name: getattr(quote, name) for name in ("currency", "lines", "hourly", "daily", "monthly")}
