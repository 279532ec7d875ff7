"""A team's invoices, and whom they are made out to."""

from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, TeamViewSet
from apps.api.fields import In, RowOut, TypedIdField
from apps.api.invoices import (
    CreditNoteOut,
    DocumentOut,
    EvidenceOut,
    InvoiceFilters,
    LineOut,
    RatedOut,
    ReminderOut,
    TeamInvoiceOut,
    WorkspaceSumOut,
)
from apps.api.payments import PayIn, PaymentOut
from apps.billing.selectors import rated
from apps.core.errors import Invalid
from apps.core.permissions import Permission
from apps.invoicing import services
from apps.invoicing.models import BillingProfile, CreditNote, Invoice
from apps.invoicing.selectors import invoices, parties
from apps.invoicing.services.parties import Address
from apps.payments import services as payments

P = Permission


class InvoiceViewSet(TeamViewSet):
    """What the team was billed, month by month."""

    id_prefix = "inv"
    filters = InvoiceFilters
    calls = {
        "list": Call(P.BILLING_READ, TeamInvoiceOut, summary="List invoices"),
        "retrieve": Call(P.BILLING_READ, TeamInvoiceOut, summary="Look at an invoice"),
        "lines": Call(P.BILLING_READ, LineOut, summary="List an invoice's lines", many=True),
        "workspaces": Call(P.BILLING_READ, WorkspaceSumOut, summary="Sums by workspace", many=True),
        "usage": Call(P.BILLING_READ, RatedOut, summary="Usage behind a line", many=True),
        "evidence": Call(P.BILLING_READ, EvidenceOut, summary="Facts behind a line's usage", many=True),
        "reminders": Call(P.BILLING_READ, ReminderOut, summary="List an invoice's reminders", many=True),
        "pdf": Call(P.BILLING_READ, DocumentOut, summary="An invoice as PDF"),
        "csv": Call(P.BILLING_READ, DocumentOut, summary="An invoice as CSV"),
        "json": Call(P.BILLING_READ, DocumentOut, summary="An invoice as JSON, with its hash"),
        "focus": Call(P.BILLING_READ, DocumentOut, summary="An invoice in FOCUS 1.2"),
        "pay": Call(P.BILLING_MANAGE, PaymentOut, PayIn, 202, summary="Pay an invoice"),
    }

    def list(self, request: Request) -> Response:
        """Newest first."""
        return self.page(invoices.invoices(self.actor, team_id=self.scope.id))

    def retrieve(self, request: Request, id: str) -> Response:
        """Its sums, and what is still to be paid."""
        return self.answer(self._invoice(id))

    @action(detail=True, methods=["get"])
    def lines(self, request: Request, id: str) -> Response:
        """In order; usage first, then credit taken off, then tax."""
        rows = invoices.lines(self._invoice(id))
        return Response({"items": LineOut(rows, many=True).data, "next_cursor": None})

    @action(detail=True, methods=["get"])
    def workspaces(self, request: Request, id: str) -> Response:
        """What each workspace used, before tax; the dearest first."""
        rows = invoices.by_workspace(self._invoice(id))
        return Response({"items": WorkspaceSumOut(rows, many=True).data, "next_cursor": None})

    @action(detail=True, methods=["get"])
    def usage(self, request: Request, id: str) -> Response:
        """The rated usage that a line is the sum of, oldest first: `?line=` is its position (1). At most
        1000 rows."""
        rows = invoices.rated_rows(self._invoice(id), self._line())[:1000]
        return Response({"items": RatedOut(rows, many=True).data, "next_cursor": None})

    @action(detail=True, methods=["get"])
    def evidence(self, request: Request, id: str) -> Response:
        """For each of those the ids of its intervals, events or requests; at most 100 rows."""
        rows = invoices.rated_rows(self._invoice(id), self._line())[:100]
        found = [{"id": row.pk, "facts": rated.evidence(row)} for row in rows]
        return Response({"items": EvidenceOut(found, many=True).data, "next_cursor": None})

    @action(detail=True, methods=["get"])
    def reminders(self, request: Request, id: str) -> Response:
        """Newest first."""
        rows = invoices.reminders(self._invoice(id))
        return Response({"items": ReminderOut(rows, many=True).data, "next_cursor": None})

    @action(detail=True, methods=["get"])
    def pdf(self, request: Request, id: str) -> Response:
        """As it is printed."""
        return self.answer(invoices.document(self._invoice(id), "pdf"))

    @action(detail=True, methods=["get"])
    def csv(self, request: Request, id: str) -> Response:
        """One row per line, exact."""
        return self.answer(invoices.document(self._invoice(id), "csv"))

    @action(detail=True, methods=["get"])
    def json(self, request: Request, id: str) -> Response:
        """All that the hash covers: `content_hash` is the SHA-256 of the previous hash and of this."""
        return self.answer(invoices.document(self._invoice(id), "json"))

    @action(detail=True, methods=["get"])
    def focus(self, request: Request, id: str) -> Response:
        """For tools that read FOCUS; `BilledCost` adds up to the total."""
        return self.answer(invoices.document(self._invoice(id), "focus"))

    @action(detail=True, methods=["post"])
    def pay(self, request: Request, id: str) -> Response:
        """What is still due, by a saved card or on the provider's page: follow the payment."""
        invoice = self._invoice(id)
        made = payments.pay_invoice(
            actor=self.actor, invoice_id=str(invoice.pk), team=self.team, **self.body()
        )
        return self.answer(made)

    def _invoice(self, id: str) -> Invoice:
        return invoices.find_invoice(self.actor, self.id_of("inv", id), team_id=self.scope.id)

    def _line(self) -> int:
        text = self.request.query_params.get("line", "1")
        if not text.isascii() or not text.isdigit() or len(text) > 4:
            raise Invalid(_("A line is named by its position."), field="line")
        return int(text)


class CreditNoteViewSet(TeamViewSet):
    """What was taken back of invoices."""

    id_prefix = "crn"
    calls = {
        "list": Call(P.BILLING_READ, CreditNoteOut, summary="List credit notes"),
        "retrieve": Call(P.BILLING_READ, CreditNoteOut, summary="Look at a credit note"),
        "pdf": Call(P.BILLING_READ, DocumentOut, summary="A credit note as PDF"),
    }

    def list(self, request: Request) -> Response:
        """Newest first."""
        return self.page(invoices.credit_notes(self.actor, team_id=self.scope.id))

    def retrieve(self, request: Request, id: str) -> Response:
        return self.answer(self._note(id))

    @action(detail=True, methods=["get"])
    def pdf(self, request: Request, id: str) -> Response:
        """As it is printed."""
        return self.answer(invoices.note_document(self._note(id)))

    def _note(self, id: str) -> CreditNote:
        return invoices.find_credit_note(self.actor, self.id_of("crn", id), team_id=self.scope.id)


class ProfileIn(In):
    """Whom invoices are made out to; `country` is two letters, a `tax_id` makes it a business."""

    name = serializers.CharField(max_length=120)
    country = serializers.CharField(max_length=20)
    street = serializers.CharField(max_length=120, required=False)
    postal_code = serializers.CharField(max_length=20, required=False)
    city = serializers.CharField(max_length=80, required=False)
    tax_id = serializers.CharField(max_length=40, required=False)
    email = serializers.EmailField(required=False)
    reference = serializers.CharField(max_length=80, required=False)


class ProfileOut(RowOut):
    """Whom invoices are made out to."""

    team_id = TypedIdField("team", read_only=True)

    class Meta:
        model = BillingProfile
        fields = (
            "team_id", "name", "street", "postal_code", "city", "country", "tax_id", "email", "reference",
        )  # fmt: skip


class BillingProfileViewSet(TeamViewSet):
    """Whom invoices are made out to."""

    calls = {
        "retrieve": Call(P.BILLING_READ, ProfileOut, summary="Look at the billing profile"),
        "update": Call(P.BILLING_MANAGE, ProfileOut, ProfileIn, summary="Set the billing profile"),
    }

    def retrieve(self, request: Request) -> Response:
        """In the team's name until somebody says otherwise."""
        return self.answer(parties.profile_of(actor=self.actor, team=self.team))

    def update(self, request: Request) -> Response:
        """For future invoices; those that are issued stay as they are."""
        address = Address(**self.body())
        return self.answer(services.save_profile(actor=self.actor, team=self.team, address=address))
