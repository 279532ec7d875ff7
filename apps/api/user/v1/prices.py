"""What things cost, and what a set of them would."""

from decimal import Decimal
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, TeamViewSet
from apps.api.fields import In, MoneyField, Out, RowOut
from apps.billing.models import Commitment, Fee, PriceVersion
from apps.billing.selectors import prices, terms, wallets
from apps.billing.specs import Rate
from apps.core.clock import db_now
from apps.core.permissions import Permission


class PriceOut(RowOut):
    """The price of a unit of a product for an hour; charged by the second."""

    class Meta:
        model = PriceVersion
        fields = ("id", "product", "book", "currency", "unit_price", "valid_from", "valid_until")


class PriceViewSet(TeamViewSet):
    """The prices in force for the team: those of its own list, and the standard ones for all else."""

    calls = {"list": Call(Permission.PRICE_READ, PriceOut, summary="List prices")}

    def list(self, request: Request) -> Response:
        """Those in force now; `valid_until` tells of a change to come."""
        return self.page(prices.prices_of(team_id=self.scope.id, currency=self.team.currency, at=db_now()))


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


class FeeOut(RowOut):
    """What is paid once or at the start of every month."""

    class Meta:
        model = Fee
        fields = ("id", "name", "period", "amount", "included", "starts_on", "ends_on")


class CommitmentOut(RowOut):
    """A promise per month; what is missing is charged after it."""

    class Meta:
        model = Commitment
        fields = ("id", "name", "products", "amount", "starts_on", "ends_on")


class TermsOut(Out):
    """What was agreed with the team besides the standard prices; `book` is its price list."""

    book = serializers.CharField()
    fees = FeeOut(many=True)
    commitments = CommitmentOut(many=True)


class TermsViewSet(TeamViewSet):
    """The team's terms."""

    calls = {"retrieve": Call(Permission.BILLING_READ, TermsOut, summary="Look at the terms")}

    def retrieve(self, request: Request) -> Response:
        """As they are now."""
        return self.answer(terms.terms_of(self.actor, self.team))
