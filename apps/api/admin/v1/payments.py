"""Payments for the platform's staff: transfers, refunds, disputes, what providers say."""

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, PlatformViewSet
from apps.api.fields import In, MoneyField, Nothing, RowOut, TypedIdField
from apps.api.payments import PAYMENT_FIELDS, PaymentFilters, PaymentOut, RefundOut
from apps.core.permissions import Permission
from apps.payments import services
from apps.payments.models import Dispute, Explanation, Payment, Reconciliation, WebhookEvent
from apps.payments.selectors import rows

P = Permission


class AdminPaymentOut(PaymentOut):
    """A payment of a team."""

    team_id = TypedIdField("team", read_only=True)
    team = serializers.CharField(source="team.name", read_only=True)

    class Meta:
        model = Payment
        fields = (*PAYMENT_FIELDS, "team_id", "team", "external_id", "intent_id", "created_by")


class ReceivedIn(In):
    """When a transfer came in; now, when nobody says."""

    received_at = serializers.DateTimeField(required=False)


class RefundIn(In):
    amount = MoneyField()
    reason = serializers.CharField(max_length=200)


class PaymentViewSet(PlatformViewSet):
    """Everybody's payments."""

    id_prefix = "pay"
    filters = PaymentFilters
    calls = {
        "list": Call(P.BILLING_READ, AdminPaymentOut, summary="List payments"),
        "retrieve": Call(P.BILLING_READ, AdminPaymentOut, summary="Look at a payment"),
        "received": Call(P.WALLET_CREDIT, AdminPaymentOut, ReceivedIn, summary="Record a bank transfer"),
        "cancel": Call(P.BILLING_MANAGE, AdminPaymentOut, Nothing, summary="Cancel a payment"),
        "refunds": Call(P.WALLET_CREDIT, RefundOut, RefundIn, 201, summary="Refund a payment"),
    }

    def list(self, request: Request) -> Response:
        """Newest first."""
        return self.page(rows.payments(self.actor))

    def retrieve(self, request: Request, id: str) -> Response:
        return self.answer(self._payment(id))

    @action(detail=True, methods=["post"])
    def received(self, request: Request, id: str) -> Response:
        """For exactly what was asked; again changes nothing."""
        payment = self._payment(id)
        services.record_transfer(actor=self.actor, payment_id=str(payment.pk), **self.body())
        return self.answer(self._payment(id))

    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, id: str) -> Response:
        """What arrives nevertheless is booked."""
        payment = self._payment(id)
        self.body()
        services.cancel_payment(actor=self.actor, payment_id=str(payment.pk))
        return self.answer(self._payment(id))

    @action(detail=True, methods=["post"])
    def refunds(self, request: Request, id: str) -> Response:
        """From the team's balance back to where it came from; above the limit a second person approves."""
        payment = self._payment(id)
        return self.answer(
            services.request_refund(actor=self.actor, payment_id=str(payment.pk), **self.body())
        )

    def _payment(self, id: str) -> Payment:
        return rows.find_payment(self.actor, self.id_of("pay", id))


class RefundViewSet(PlatformViewSet):
    """Refunds, and those that wait for a second person."""

    id_prefix = "rfd"
    calls = {
        "list": Call(P.BILLING_READ, RefundOut, summary="List refunds"),
        "retrieve": Call(P.BILLING_READ, RefundOut, summary="Look at a refund"),
        "approve": Call(P.WALLET_CREDIT, RefundOut, Nothing, summary="Approve a refund"),
        "reject": Call(P.WALLET_CREDIT, RefundOut, Nothing, summary="Reject a refund"),
    }

    def list(self, request: Request) -> Response:
        """Newest first."""
        return self.page(rows.refunds(self.actor))

    def retrieve(self, request: Request, id: str) -> Response:
        return self.answer(rows.find_refund(self.actor, self.id_of("rfd", id)))

    @action(detail=True, methods=["post"])
    def approve(self, request: Request, id: str) -> Response:
        """403 `needs_second_person` for whoever asked for it."""
        refund = rows.find_refund(self.actor, self.id_of("rfd", id))
        self.body()
        return self.answer(services.approve_refund(actor=self.actor, refund_id=str(refund.pk)))

    @action(detail=True, methods=["post"])
    def reject(self, request: Request, id: str) -> Response:
        """Nothing has moved yet."""
        refund = rows.find_refund(self.actor, self.id_of("rfd", id))
        self.body()
        return self.answer(services.reject_refund(actor=self.actor, refund_id=str(refund.pk)))


class DisputeOut(RowOut):
    """A payment that its cardholder contests."""

    payment_id = TypedIdField("pay", read_only=True)
    team_id = TypedIdField("team", read_only=True)

    class Meta:
        model = Dispute
        fields = (
            "id", "payment_id", "team_id", "state", "currency", "amount", "reason", "external_id",
            "created_at", "decided_at",
        )  # fmt: skip


class DisputeViewSet(PlatformViewSet):
    """Disputed payments."""

    id_prefix = "dsp"
    calls = {
        "list": Call(P.BILLING_READ, DisputeOut, summary="List disputes"),
        "retrieve": Call(P.BILLING_READ, DisputeOut, summary="Look at a dispute"),
    }

    def list(self, request: Request) -> Response:
        """Newest first."""
        return self.page(rows.disputes(self.actor))

    def retrieve(self, request: Request, id: str) -> Response:
        return self.answer(rows.find_dispute(self.actor, self.id_of("dsp", id)))


class MessageOut(RowOut):
    """What a provider has sent, and whether it has been looked into."""

    class Meta:
        model = WebhookEvent
        fields = (
            "id", "provider", "event_id", "type", "object_id", "deliveries", "received_at", "processed_at",
            "attempts", "problem",
        )  # fmt: skip


class MessageViewSet(PlatformViewSet):
    """Messages of payment providers."""

    calls = {"list": Call(P.BILLING_READ, MessageOut, summary="List messages of providers")}

    def list(self, request: Request) -> Response:
        """Newest first."""
        return self.page(rows.events(self.actor))


class DifferenceOut(serializers.Serializer[object]):
    """A movement that the provider and the ledger tell differently."""

    line = serializers.CharField()
    kind = serializers.CharField()
    about = serializers.CharField(source="source")
    provider = serializers.CharField()
    ledger = serializers.CharField()


class ReconciliationOut(RowOut):
    """One comparison of a provider's balance with the ledger."""

    differences = DifferenceOut(many=True, read_only=True)

    class Meta:
        model = Reconciliation
        fields = ("id", "provider", "since", "until", "checked", "booked", "differences", "created_at")


class ExplainIn(In):
    """Which difference, and what was found out."""

    kind = serializers.CharField(max_length=20)
    about = serializers.CharField(max_length=120)
    note = serializers.CharField(max_length=300)


class ExplanationOut(RowOut):
    """Why a movement differs, in somebody's words."""

    about = serializers.CharField(source="source", read_only=True)

    class Meta:
        model = Explanation
        fields = (
            *("id", "provider", "kind", "about", "provider_says", "ledger_says"),
            *("note", "created_by", "created_at"),
        )


class ReconciliationViewSet(PlatformViewSet):
    """Comparisons of a provider's balance with the ledger; four a day, by themselves."""

    id_prefix = "rec"
    calls = {
        "list": Call(P.BILLING_READ, ReconciliationOut, summary="List comparisons"),
        "retrieve": Call(P.BILLING_READ, ReconciliationOut, summary="Look at a comparison"),
        "explanations": Call(P.WALLET_CREDIT, ExplanationOut, ExplainIn, 201, summary="Explain a difference"),
    }

    def list(self, request: Request) -> Response:
        """Newest first."""
        return self.page(rows.reconciliations(self.actor))

    def retrieve(self, request: Request, id: str) -> Response:
        return self.answer(rows.find_reconciliation(self.actor, self.id_of("rec", id)))

    @action(detail=True, methods=["post"])
    def explanations(self, request: Request, id: str) -> Response:
        """Nothing is booked; the difference alarms nobody again."""
        found, body = rows.find_reconciliation(self.actor, self.id_of("rec", id)), self.body()
        return self.answer(
            services.explain(
                actor=self.actor,
                reconciliation=found,
                kind=body["kind"],
                source=body["about"],
                note=body["note"],
            )
        )
