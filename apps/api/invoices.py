"""What the User and the Admin API say of invoices and credit notes alike."""

import base64
from typing import Any

import django_filters
from rest_framework import serializers

from apps.api.fields import MoneyField, Out, RowOut, TypedIdField
from apps.invoicing.models import CreditNote, Invoice, InvoiceLine, Reminder
from apps.invoicing.states import InvoiceState

INVOICE_FIELDS = (
    "id", "number", "state", "currency", "period_start", "period_end", "subtotal", "discount", "tax", "total",
    "from_balance", "amount_paid", "amount_credited", "amount_due", "content_hash", "previous_hash",
    "finalized_at", "due_at", "paid_at",
)  # fmt: skip


class InvoiceFilters(django_filters.FilterSet):
    """What invoices may be asked for."""

    state = django_filters.MultipleChoiceFilter(choices=InvoiceState.choices)
    since = django_filters.IsoDateTimeFilter(field_name="period_end", lookup_expr="gt")
    until = django_filters.IsoDateTimeFilter(field_name="period_end", lookup_expr="lte")


class LineOut(RowOut):
    """One line; `exact` is what usage came to, `amount` what is asked for."""

    quantity = MoneyField(read_only=True)
    tax_rate = MoneyField(read_only=True)
    workspace_id = TypedIdField("wks", allow_null=True, read_only=True)

    class Meta:
        model = InvoiceLine
        fields = (
            "position", "kind", "description", "product", "unit", "quantity", "unit_price", "workspace_id",
            "workspace", "rows", "exact", "amount", "tax_name", "tax_rate", "tax_note",
        )  # fmt: skip


class RatedOut(Out):
    """Usage that a line is the sum of: one product at one price on one day."""

    id = serializers.IntegerField()
    resource_id = serializers.CharField()
    product = serializers.CharField()
    unit = serializers.CharField()
    started_at = serializers.DateTimeField()
    seconds = MoneyField()
    quantity = MoneyField()
    unit_price = MoneyField()
    amount = MoneyField()


class EvidenceOut(Out):
    """The facts behind rated usage: the ids of intervals, events or requests."""

    id = serializers.IntegerField()
    facts = serializers.ListField(child=serializers.CharField())


class WorkspaceSumOut(Out):
    workspace_id = TypedIdField("wks", allow_null=True)
    workspace = serializers.CharField()
    amount = MoneyField()
    lines = serializers.IntegerField()


class ReminderOut(RowOut):
    """That an overdue invoice was reminded of; each level once."""

    class Meta:
        model = Reminder
        fields = ("id", "level", "currency", "amount_due", "mailed_at", "created_at")


class DocumentOut(Out):
    """A file; `content` is base64."""

    name = serializers.CharField()
    media_type = serializers.CharField()
    content = serializers.SerializerMethodField()

    def get_content(self, document: Any) -> str:
        return base64.b64encode(document.content).decode()


class CreditNoteOut(RowOut):
    """So much of an invoice was taken back."""

    invoice_id = TypedIdField("inv", read_only=True)
    invoice = serializers.CharField(source="invoice.number", read_only=True)
    team_id = TypedIdField("team", read_only=True)

    class Meta:
        model = CreditNote
        fields = (
            "id", "number", "invoice_id", "invoice", "team_id", "reason", "currency", "net", "tax", "total",
            "to_balance", "content_hash", "issued_at",
        )  # fmt: skip


class TeamInvoiceOut(RowOut):
    """An invoice. `amount_due` is what is still to be paid."""

    amount_due = MoneyField(read_only=True)
    from_balance = MoneyField(read_only=True)

    class Meta:
        model = Invoice
        fields = INVOICE_FIELDS
