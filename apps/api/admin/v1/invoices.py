"""Invoices for the platform's staff: companies, tax, runs, corrections."""

from typing import Any

import django_filters
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, PlatformViewSet
from apps.api.fields import In, MoneyField, Nothing, RowOut, TypedIdField
from apps.api.invoices import (
    INVOICE_FIELDS,
    CreditNoteOut,
    DocumentOut,
    InvoiceFilters,
    LineOut,
    ReminderOut,
    TeamInvoiceOut,
)
from apps.core.errors import Invalid
from apps.core.permissions import Permission
from apps.invoicing import services
from apps.invoicing.models import CreditNote, Invoice, InvoiceRun, LegalEntity, TaxRate
from apps.invoicing.selectors import invoices, parties
from apps.invoicing.services import CreditWish
from apps.invoicing.services.parties import EntityWish, TaxWish
from apps.invoicing.specs import Period

P = Permission


class AdminInvoiceFilters(InvoiceFilters):
    """What invoices may be asked for."""

    team = django_filters.CharFilter(field_name="team__slug")
    is_parked = django_filters.BooleanFilter(method="parked")

    def parked(self, rows: Any, _name: str, value: bool) -> Any:
        return rows.exclude(parked_because="") if value else rows.filter(parked_because="")


class InvoiceOut(TeamInvoiceOut):
    """An invoice of a team; one that could not be made says why in `parked_because`."""

    team_id = TypedIdField("team", read_only=True)
    team = serializers.CharField(source="team.name", read_only=True)
    entity_id = TypedIdField("ent", read_only=True)

    class Meta:
        model = Invoice
        fields = (*INVOICE_FIELDS, "team_id", "team", "entity_id", "parked_because")


class CreditLineIn(In):
    position = serializers.IntegerField(min_value=1, max_value=30_000)
    amount = MoneyField()


class CreditIn(In):
    """Which lines to take back, by how much, and why. The same `reference` again changes nothing."""

    lines = serializers.ListField(child=CreditLineIn(), allow_empty=False, max_length=200)
    reason = serializers.CharField(max_length=200)
    reference = serializers.CharField(max_length=80, required=False)


class VoidIn(In):
    reason = serializers.CharField(max_length=200)


class InvoiceViewSet(PlatformViewSet):
    """Everybody's invoices, drafts included."""

    id_prefix = "inv"
    filters = AdminInvoiceFilters
    calls = {
        "list": Call(P.BILLING_READ, InvoiceOut, summary="List invoices"),
        "retrieve": Call(P.BILLING_READ, InvoiceOut, summary="Look at an invoice"),
        "lines": Call(P.BILLING_READ, LineOut, summary="List an invoice's lines", many=True),
        "reminders": Call(P.BILLING_READ, ReminderOut, summary="List an invoice's reminders", many=True),
        "pdf": Call(P.BILLING_READ, DocumentOut, summary="An invoice as PDF"),
        "credit_notes": Call(P.WALLET_CREDIT, CreditNoteOut, CreditIn, 201, summary="Issue a credit note"),
        "void": Call(P.WALLET_CREDIT, CreditNoteOut, VoidIn, 201, summary="Void an unpaid invoice"),
        "give_up": Call(P.WALLET_CREDIT, InvoiceOut, Nothing, summary="Write an invoice off"),
        "retry": Call(P.BILLING_MANAGE, InvoiceOut, Nothing, summary="Try a parked draft again"),
    }

    def list(self, request: Request) -> Response:
        """Newest first."""
        return self.page(invoices.invoices(self.actor))

    def retrieve(self, request: Request, id: str) -> Response:
        return self.answer(self._invoice(id))

    @action(detail=True, methods=["get"])
    def lines(self, request: Request, id: str) -> Response:
        """In order; a draft has none."""
        rows = invoices.lines(self._invoice(id))
        return Response({"items": LineOut(rows, many=True).data, "next_cursor": None})

    @action(detail=True, methods=["get"])
    def reminders(self, request: Request, id: str) -> Response:
        """Newest first."""
        rows = invoices.reminders(self._invoice(id))
        return Response({"items": ReminderOut(rows, many=True).data, "next_cursor": None})

    @action(detail=True, methods=["get"])
    def pdf(self, request: Request, id: str) -> Response:
        return self.answer(invoices.document(self._invoice(id), "pdf"))

    @action(detail=True, methods=["post"], url_path="credit-notes")
    def credit_notes(self, request: Request, id: str) -> Response:
        """Off what is still owed first, then to the team's balance; with its share of the tax."""
        invoice, body = self._invoice(id), self.body()
        amounts: dict[int, Any] = {}
        for line in body["lines"]:
            if line["position"] in amounts:
                raise Invalid("Each line once.", field="lines")
            amounts[line["position"]] = line["amount"]
        wish = CreditWish(amounts, body["reason"], body.get("reference", ""))
        return self.answer(services.credit_invoice(actor=self.actor, invoice_id=str(invoice.pk), wish=wish))

    @action(detail=True, methods=["post"])
    def void(self, request: Request, id: str) -> Response:
        """Takes back all that is left of it by a credit note."""
        invoice, body = self._invoice(id), self.body()
        return self.answer(
            services.void_invoice(actor=self.actor, invoice_id=str(invoice.pk), reason=body["reason"])
        )

    @action(detail=True, methods=["post"], url_path="give-up")
    def give_up(self, request: Request, id: str) -> Response:
        """Should it be paid after all, that is booked against the loss."""
        invoice = self._invoice(id)
        self.body()
        return self.answer(services.give_up_invoice(actor=self.actor, invoice_id=str(invoice.pk)))

    @action(detail=True, methods=["post"])
    def retry(self, request: Request, id: str) -> Response:
        invoice = self._invoice(id)
        self.body()
        return self.answer(services.retry_invoice(actor=self.actor, invoice_id=str(invoice.pk)))

    def _invoice(self, id: str) -> Invoice:
        return invoices.find_invoice(self.actor, self.id_of("inv", id))


class CreditNoteViewSet(PlatformViewSet):
    """Credit notes."""

    id_prefix = "crn"
    calls = {
        "list": Call(P.BILLING_READ, CreditNoteOut, summary="List credit notes"),
        "retrieve": Call(P.BILLING_READ, CreditNoteOut, summary="Look at a credit note"),
        "pdf": Call(P.BILLING_READ, DocumentOut, summary="A credit note as PDF"),
    }

    def list(self, request: Request) -> Response:
        """Newest first."""
        return self.page(invoices.credit_notes(self.actor))

    def retrieve(self, request: Request, id: str) -> Response:
        return self.answer(self._note(id))

    @action(detail=True, methods=["get"])
    def pdf(self, request: Request, id: str) -> Response:
        return self.answer(invoices.note_document(self._note(id)))

    def _note(self, id: str) -> CreditNote:
        return invoices.find_credit_note(self.actor, self.id_of("crn", id))


class RunIn(In):
    """A month that is over, such as `2026-03`."""

    month = serializers.RegexField(r"^20[0-9]{2}-(0[1-9]|1[0-2])$")


class RunOut(RowOut):
    """A month's invoices, and how far they are."""

    operation_id = TypedIdField("op", allow_null=True, read_only=True)
    invoices = serializers.IntegerField(source="invoices_made", read_only=True)
    drafts = serializers.IntegerField(read_only=True)
    parked = serializers.IntegerField(read_only=True)

    class Meta:
        model = InvoiceRun
        fields = (
            "id", "period_start", "period_end", "state", "finalize_at", "operation_id", "created_by",
            "invoices", "drafts", "parked", "created_at", "finished_at",
        )  # fmt: skip


class RunViewSet(PlatformViewSet):
    """Runs of a month's invoices. They begin by themselves when a month is over."""

    id_prefix = "irn"
    calls = {
        "list": Call(P.BILLING_READ, RunOut, summary="List runs"),
        "retrieve": Call(P.BILLING_READ, RunOut, summary="Look at a run"),
        "create": Call(P.BILLING_MANAGE, RunOut, RunIn, 202, summary="Begin a month's invoices"),
        "focus": Call(P.BILLING_READ, DocumentOut, summary="A month in FOCUS 1.2"),
        "resume": Call(P.BILLING_MANAGE, RunOut, Nothing, 202, summary="Resume a run"),
    }

    def list(self, request: Request) -> Response:
        """Newest first."""
        return self.page(invoices.runs(self.actor))

    def retrieve(self, request: Request, id: str) -> Response:
        return self.answer(invoices.find_run(self.actor, self.id_of("irn", id)))

    def create(self, request: Request) -> Response:
        """Drafts are made at once; they become final an hour after the month's end."""
        year, _dash, month = self.body()["month"].partition("-")
        run = services.open_run(actor=self.actor, period=Period.month(int(year), int(month)))
        return self.answer(invoices.find_run(self.actor, str(run.pk)))

    @action(detail=True, methods=["get"])
    def focus(self, request: Request, id: str) -> Response:
        """Every invoice of the month; `BilledCost` adds up to their totals."""
        run = invoices.find_run(self.actor, self.id_of("irn", id))
        return self.answer(invoices.export(self.actor, period=Period(run.period_start, run.period_end)))

    @action(detail=True, methods=["post"])
    def resume(self, request: Request, id: str) -> Response:
        """Tries everything again that could not be made final."""
        run = invoices.find_run(self.actor, self.id_of("irn", id))
        self.body()
        services.resume_run(actor=self.actor, run_id=str(run.pk))
        return self.answer(invoices.find_run(self.actor, str(run.pk)))


class EntityIn(In):
    """A company that issues invoices; the prefix of its numbers stays."""

    name = serializers.CharField(max_length=120)
    country = serializers.CharField(max_length=20)
    currency = serializers.RegexField(r"^[A-Z]{3}$")
    number_prefix = serializers.SlugField(max_length=12)
    street = serializers.CharField(max_length=120, required=False)
    postal_code = serializers.CharField(max_length=20, required=False)
    city = serializers.CharField(max_length=80, required=False)
    tax_id = serializers.CharField(max_length=40, required=False)
    registration = serializers.CharField(max_length=120, required=False)
    email = serializers.EmailField(required=False)
    bank_details = serializers.CharField(max_length=400, required=False)
    payment_days = serializers.IntegerField(min_value=0, max_value=365, required=False)
    is_default = serializers.BooleanField(required=False)


class EntityOut(RowOut):
    """A company that issues invoices."""

    class Meta:
        model = LegalEntity
        fields = (
            "id", "name", "street", "postal_code", "city", "country", "tax_id", "registration", "email",
            "bank_details", "currency", "number_prefix", "payment_days", "is_default",
        )  # fmt: skip


class EntityViewSet(PlatformViewSet):
    """The provider's companies. Teams are billed by that of their currency, or by the default one."""

    id_prefix = "ent"
    calls = {
        "list": Call(P.BILLING_READ, EntityOut, summary="List companies"),
        "retrieve": Call(P.BILLING_READ, EntityOut, summary="Look at a company"),
        "create": Call(P.PRICE_MANAGE, EntityOut, EntityIn, 201, summary="Set up a company"),
        "update": Call(P.PRICE_MANAGE, EntityOut, EntityIn, summary="Change a company"),
    }

    def list(self, request: Request) -> Response:
        return self.page(parties.entities(self.actor))

    def retrieve(self, request: Request, id: str) -> Response:
        return self.answer(parties.find_entity(self.actor, self.id_of("ent", id)))

    def create(self, request: Request) -> Response:
        """Its numbers begin at 1."""
        return self.answer(services.create_entity(actor=self.actor, wish=EntityWish(**self.body())))

    def update(self, request: Request, id: str) -> Response:
        """Invoices that are issued stay as they are."""
        entity = self.unchanged(parties.find_entity(self.actor, self.id_of("ent", id)))
        wish = EntityWish(**self.body())
        return self.answer(services.update_entity(actor=self.actor, entity=entity, wish=wish))


class TaxIn(In):
    """A rate (a fraction) of a country from a day on, for products that begin with `category`."""

    country = serializers.CharField(max_length=20)
    name = serializers.CharField(max_length=40)
    rate = MoneyField()
    valid_from = serializers.DateField()
    category = serializers.CharField(max_length=40, required=False)
    is_inclusive = serializers.BooleanField(required=False)
    reverse_charge = serializers.BooleanField(required=False)


class TaxOut(RowOut):
    """A tax rate; a later one of the same country and category replaces it."""

    rate = MoneyField(read_only=True)

    class Meta:
        model = TaxRate
        fields = (
            "id", "country", "category", "name", "rate", "is_inclusive", "reverse_charge", "valid_from",
            "created_by", "created_at",
        )  # fmt: skip


class TaxViewSet(PlatformViewSet):
    """Tax rates: added, never changed."""

    id_prefix = "tax"
    calls = {
        "list": Call(P.BILLING_READ, TaxOut, summary="List tax rates"),
        "retrieve": Call(P.BILLING_READ, TaxOut, summary="Look at a tax rate"),
        "create": Call(P.PRICE_MANAGE, TaxOut, TaxIn, 201, summary="Add a tax rate"),
    }

    def list(self, request: Request) -> Response:
        return self.page(parties.tax_rates(self.actor))

    def retrieve(self, request: Request, id: str) -> Response:
        return self.answer(parties.find_tax_rate(self.actor, self.id_of("tax", id)))

    def create(self, request: Request) -> Response:
        """It replaces the country's rate of the same category from that day on."""
        return self.answer(services.add_tax_rate(actor=self.actor, wish=TaxWish(**self.body())))
