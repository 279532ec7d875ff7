"""How a team pays: payments, saved cards, the automatic top-up."""

from decimal import Decimal

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, TeamViewSet
from apps.api.fields import In, MoneyField, Nothing, Out, RowOut
from apps.api.payments import PaymentFilters, PaymentOut, TopUpIn
from apps.core.permissions import Permission
from apps.payments import services
from apps.payments.models import AutoTopUp, Payment, PaymentCustomer, PaymentMethod
from apps.payments.selectors import providers, rows
from apps.payments.services import AutoWish
from apps.payments.specs import Wish

P = Permission


class WayOut(Out):
    """A way of paying; `missing` says what the platform lacks for it."""

    provider = serializers.CharField()
    is_open = serializers.BooleanField()
    missing = serializers.CharField()


class PaymentViewSet(TeamViewSet):
    """Money on its way to the team's balance or for an invoice."""

    id_prefix = "pay"
    filters = PaymentFilters
    calls = {
        "list": Call(P.BILLING_READ, PaymentOut, summary="List payments"),
        "retrieve": Call(P.BILLING_READ, PaymentOut, summary="Look at a payment"),
        "create": Call(P.BILLING_MANAGE, PaymentOut, TopUpIn, 202, summary="Top the balance up"),
        "cancel": Call(P.BILLING_MANAGE, PaymentOut, Nothing, summary="Cancel a payment"),
        "ways": Call(P.BILLING_READ, WayOut, summary="List ways of paying", many=True),
    }

    def list(self, request: Request) -> Response:
        """Newest first."""
        return self.page(rows.payments(self.actor, team_id=self.scope.id))

    def retrieve(self, request: Request, id: str) -> Response:
        return self.answer(self._payment(id))

    def create(self, request: Request) -> Response:
        """The payment is prepared at once; look again for `pay_url` and the outcome."""
        body = self.body()
        wish = Wish(body["provider"], body["amount"], body.get("method_id"))
        return self.answer(services.begin_top_up(actor=self.actor, team=self.team, wish=wish))

    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, id: str) -> Response:
        """What arrives nevertheless is booked."""
        payment = self._payment(id)
        self.body()
        return self.answer(
            services.cancel_payment(actor=self.actor, payment_id=str(payment.pk), team=self.team)
        )

    @action(detail=False, methods=["get"])
    def ways(self, request: Request) -> Response:
        """Those that are not set up say what is missing."""
        return Response({"items": WayOut(providers.ways(), many=True).data, "next_cursor": None})

    def _payment(self, id: str) -> Payment:
        return rows.find_payment(self.actor, self.id_of("pay", id), team_id=self.scope.id)


class MethodOut(RowOut):
    """A saved card; the provider keeps its number."""

    class Meta:
        model = PaymentMethod
        fields = ("id", "provider", "brand", "last4", "expires", "is_default", "created_at")


class SetupOut(RowOut):
    """Where a card is saved: look again until `setup_url` is there."""

    class Meta:
        model = PaymentCustomer
        fields = ("id", "provider", "setup_url", "problem")


class MethodViewSet(TeamViewSet):
    """Saved cards."""

    id_prefix = "pme"
    calls = {
        "list": Call(P.BILLING_READ, MethodOut, summary="List saved cards"),
        "retrieve": Call(P.BILLING_READ, MethodOut, summary="Look at a saved card"),
        "create": Call(P.BILLING_MANAGE, SetupOut, Nothing, 202, summary="Begin to save a card"),
        "default": Call(P.BILLING_MANAGE, MethodOut, Nothing, summary="Make a card the default"),
        "destroy": Call(P.BILLING_MANAGE, status=204, summary="Remove a card"),
    }

    def list(self, request: Request) -> Response:
        return self.page(rows.methods(self.actor, team_id=self.scope.id))

    def retrieve(self, request: Request, id: str) -> Response:
        return self.answer(self._method(id))

    def create(self, request: Request) -> Response:
        """Cards are saved on the provider's own page, never here; ask again for its address."""
        self.body()
        return self.answer(services.begin_card_setup(actor=self.actor, team=self.team))

    @action(detail=True, methods=["post"])
    def default(self, request: Request, id: str) -> Response:
        """Automatic top-ups use it."""
        method = self._method(id)
        self.body()
        made = services.set_default_method(actor=self.actor, team=self.team, method_id=str(method.pk))
        return self.answer(made)

    def destroy(self, request: Request, id: str) -> Response:
        """Here and at the provider."""
        method = self._method(id)
        services.remove_method(actor=self.actor, team=self.team, method_id=str(method.pk))
        return self.answer()

    def _method(self, id: str) -> PaymentMethod:
        return rows.find_method(self.actor, self.id_of("pme", id), team_id=self.scope.id)


class AutoOut(Out):
    """Add `amount` when less than `threshold` is free; `paused_because` says why it rests."""

    is_enabled = serializers.BooleanField()
    threshold = MoneyField()
    amount = MoneyField()
    monthly_most = MoneyField()
    paused_because = serializers.CharField()


class AutoIn(In):
    is_enabled = serializers.BooleanField()
    threshold = MoneyField(min_value=Decimal(0))
    amount = MoneyField(min_value=Decimal(0))
    monthly_most = MoneyField(min_value=Decimal(0))


class AutoTopUpViewSet(TeamViewSet):
    """The automatic top-up."""

    calls = {
        "retrieve": Call(P.BILLING_READ, AutoOut, summary="Look at the automatic top-up"),
        "update": Call(P.BILLING_MANAGE, AutoOut, AutoIn, summary="Set the automatic top-up"),
    }

    def retrieve(self, request: Request) -> Response:
        """Off until somebody turns it on."""
        found = rows.auto_top_up(self.actor, team_id=self.scope.id)
        return self.answer(found or AutoTopUp(threshold=0, amount=0, monthly_most=0))

    def update(self, request: Request) -> Response:
        """It charges the default card; saving it lets one that paused go on."""
        wish = AutoWish(**self.body())
        return self.answer(services.save_auto_top_up(actor=self.actor, team=self.team, wish=wish))
