"""What the User and the Admin API say of payments alike."""

import django_filters
from rest_framework import serializers

from apps.api.fields import In, MoneyField, RowOut, TypedIdField
from apps.payments.models import Payment, Refund
from apps.payments.states import PaymentState, Provider

PAYMENT_FIELDS = (
    "id", "provider", "purpose", "invoice_id", "method_id", "is_automatic", "state", "currency", "amount",
    "refunded", "reference", "pay_url", "problem_code", "problem", "created_at", "succeeded_at",
)  # fmt: skip


class PaymentFilters(django_filters.FilterSet):
    """What payments may be asked for."""

    state = django_filters.MultipleChoiceFilter(choices=PaymentState.choices)
    provider = django_filters.ChoiceFilter(choices=Provider.choices)


class PaymentOut(RowOut):
    """A payment. While it is `waiting`, `pay_url` says where to pay; a transfer must name `reference`."""

    invoice_id = TypedIdField("inv", allow_null=True, read_only=True)
    method_id = TypedIdField("pme", allow_null=True, read_only=True)

    class Meta:
        model = Payment
        fields = PAYMENT_FIELDS


class PayIn(In):
    """How to pay: with a saved card (`method_id`), or on the provider's page without one."""

    provider = serializers.ChoiceField(choices=Provider.choices)
    method_id = TypedIdField("pme", required=False)


class TopUpIn(PayIn):
    """How much to add, and how to pay it."""

    amount = MoneyField()


class RefundOut(RowOut):
    """Part of a payment that goes back."""

    payment_id = TypedIdField("pay", read_only=True)
    team_id = TypedIdField("team", read_only=True)

    class Meta:
        model = Refund
        fields = (
            "id", "payment_id", "team_id", "state", "currency", "amount", "reason", "needs_approval",
            "requested_by", "decided_by", "problem", "created_at", "finished_at",
        )  # fmt: skip
