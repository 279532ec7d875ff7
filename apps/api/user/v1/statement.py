"""The team's side of the ledger."""

import django_filters
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, TeamViewSet
from apps.api.fields import MoneyField, RowOut
from apps.billing.models import Transaction, TransactionKind
from apps.billing.selectors import ledger
from apps.core.permissions import Permission


class EntryFilters(django_filters.FilterSet):
    """What entries may be asked for."""

    kind = django_filters.MultipleChoiceFilter(choices=TransactionKind.choices)
    since = django_filters.IsoDateTimeFilter(field_name="booked_at", lookup_expr="gte")
    until = django_filters.IsoDateTimeFilter(field_name="booked_at", lookup_expr="lt")


class EntryOut(RowOut):
    """One entry; `amount` is what it did to the balance. For usage, `reference` is the resource."""

    amount = MoneyField(read_only=True)

    class Meta:
        model = Transaction
        fields = ("id", "kind", "amount", "currency", "reference", "description", "booked_at")


class StatementViewSet(TeamViewSet):
    """Everything that ever changed the team's balance."""

    filters = EntryFilters
    id_prefix = "ltx"
    calls = {
        "list": Call(Permission.BILLING_READ, EntryOut, summary="List the entries of the account"),
        "retrieve": Call(Permission.BILLING_READ, EntryOut, summary="Look at an entry"),
    }

    def list(self, request: Request) -> Response:
        """Newest first. The sum of all amounts is the wallet's balance, to the last decimal."""
        return self.page(ledger.entries(self.actor, team_id=self.scope.id))

    def retrieve(self, request: Request, id: str) -> Response:
        """One entry of the team's account."""
        entry = ledger.find_entry(self.actor, team_id=self.scope.id, entry_id=self.id_of("ltx", id))
        return self.answer(entry)
