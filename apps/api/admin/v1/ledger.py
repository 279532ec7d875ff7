"""The double-entry ledger, and the meters that feed it."""

import django_filters
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, PlatformViewSet
from apps.api.fields import MoneyField, Nothing, Out, RowOut, TypedIdField
from apps.billing import services
from apps.billing.models import Meter, Transaction, TransactionKind
from apps.billing.selectors import ledger, wallets
from apps.core.permissions import Permission


class TransactionFilters(django_filters.FilterSet):
    """What transactions may be asked for."""

    kind = django_filters.MultipleChoiceFilter(choices=TransactionKind.choices)
    reference = django_filters.CharFilter(help_text="For usage: the resource.")
    since = django_filters.IsoDateTimeFilter(field_name="booked_at", lookup_expr="gte")
    until = django_filters.IsoDateTimeFilter(field_name="booked_at", lookup_expr="lt")


class PostingOut(Out):
    """An amount on an account; positive is credit to its owner."""

    account_id = TypedIdField("acc")
    account = serializers.CharField(source="account.kind")
    team_id = TypedIdField("team", allow_null=True)
    amount = MoneyField()


class TransactionOut(RowOut):
    """The postings of a transaction add up to zero."""

    team_id = TypedIdField("team", allow_null=True, read_only=True)
    postings = PostingOut(many=True, read_only=True)

    class Meta:
        model = Transaction
        fields = (
            "id", "kind", "team_id", "currency", "reference", "description", "actor_label", "booked_at",
            "postings",
        )  # fmt: skip


class AccountOut(Out):
    """An account of ours, or all customers' together."""

    kind = serializers.CharField()
    currency = serializers.CharField()
    balance = MoneyField()
    accounts = serializers.IntegerField()


class LedgerViewSet(PlatformViewSet):
    """Transactions: added, never changed."""

    id_prefix = "ltx"
    filters = TransactionFilters
    calls = {
        "list": Call(Permission.BILLING_READ, TransactionOut, summary="List transactions"),
        "retrieve": Call(Permission.BILLING_READ, TransactionOut, summary="Look at a transaction"),
        "accounts": Call(Permission.BILLING_READ, AccountOut, summary="Balances of the accounts", many=True),
    }

    def list(self, request: Request) -> Response:
        """Newest first."""
        return self.page(ledger.transactions(self.actor))

    def retrieve(self, request: Request, id: str) -> Response:
        """With its postings."""
        return self.answer(ledger.find_transaction(self.actor, self.id_of("ltx", id)))

    @action(detail=False, methods=["get"])
    def accounts(self, request: Request) -> Response:
        """They add up to zero in every currency."""
        rows = ledger.account_totals(self.actor)
        return Response({"items": AccountOut(rows, many=True).data, "next_cursor": None})


class MeterOut(RowOut):
    """A resource that is or was charged for; one that is parked is not, until it is resumed."""

    id = serializers.CharField(source="resource_id", read_only=True)
    team_id = TypedIdField("team", read_only=True)
    workspace_id = TypedIdField("wks", read_only=True)

    class Meta:
        model = Meter
        fields = (
            "id", "resource_name", "kind", "team_id", "workspace_id", "region_id", "currency", "hourly",
            "metered_until", "short_since", "parked_because", "started_at", "ended_at",
        )  # fmt: skip


class MeterFilters(django_filters.FilterSet):
    """What meters may be asked for."""

    state = django_filters.ChoiceFilter(
        choices=[(name, name) for name in ("running", "short", "parked", "ended")], method="in_state"
    )

    def in_state(self, rows: wallets.Meters, _name: str, value: str) -> wallets.Meters:
        return rows.in_state(value)


class MeterViewSet(PlatformViewSet):
    """What is being charged for."""

    filters = MeterFilters
    calls = {
        "list": Call(Permission.BILLING_READ, MeterOut, summary="List meters"),
        "resume": Call(Permission.PRICE_MANAGE, MeterOut, Nothing, summary="Resume a parked meter"),
    }

    def list(self, request: Request) -> Response:
        """By resource, the youngest first."""
        return self.page(wallets.meters(self.actor))

    @action(detail=True, methods=["post"])
    def resume(self, request: Request, id: str) -> Response:
        """Charges what it has missed; 422 `no_price` when there is still no price for that."""
        self.body()
        return self.answer(services.resume(actor=self.actor, resource_id=id[:40]))
