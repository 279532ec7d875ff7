"""Invoices of a team."""

from functools import cached_property
from typing import Any

from django import forms
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.core.errors import NotFound
from apps.core.permissions import Permission
from apps.invoicing import services as invoicing
from apps.invoicing.models import Invoice
from apps.invoicing.selectors import invoices, parties
from apps.invoicing.services.parties import Address
from apps.invoicing.specs import Usage, describe
from apps.invoicing.states import InvoiceState, LineKind
from apps.panels import invoices as shown
from apps.panels.kit import (
    Column,
    Detail,
    Empty,
    Filter,
    FormPage,
    Kpi,
    Kpis,
    Link,
    Page,
    Resource,
    SavedView,
    Section,
    Table,
    cells,
)
from apps.panels.user.billing.common import OfTeam, way_field
from apps.payments import services

P = Permission


class OfInvoices(OfTeam):
    nav = "invoices"


class InvoiceList(OfInvoices, Resource):
    permission = P.BILLING_READ
    title = _("Invoices")
    intro = _("One a month: what was used, tax, and what the balance has paid of it.")
    model = Invoice
    live = "invoice."
    order = "-period"
    search = ("number",)
    search_hint = _("Search by number")
    filters = (Filter("state", _("State"), InvoiceState.choices[1:]),)
    views = (
        SavedView("all", _("All")),
        SavedView("open", _("To be paid"), Q(state=InvoiceState.OPEN)),
        SavedView("overdue", _("Overdue"), invoices.OVERDUE),
    )
    links = (
        Link(_("This month so far"), "upcoming", P.BILLING_READ, icon="calendar", primary=False),
        Link(_("Made out to"), "billing-profile", P.BILLING_MANAGE, icon="building-2", primary=False),
    )
    empty = Empty(_("No invoice yet"), _("The first one comes when a month is over."), icon="receipt")
    columns = shown.INVOICE_COLUMNS

    def rows(self) -> QuerySet[Any]:
        return invoices.invoices(self.actor, team_id=self.team.pk)


class InvoicePage(OfInvoices, Detail):
    permission = P.BILLING_READ
    model = Invoice
    live = "invoice."
    links = (Link(_("Pay"), "invoice-pay", P.BILLING_MANAGE, icon="wallet"),)

    def rows(self) -> QuerySet[Any]:
        return invoices.invoices(self.actor, team_id=self.team.pk)

    def crumbs(self) -> list[tuple[str, str]]:
        return [*super().crumbs(), (str(_("Invoices")), self.url("invoices"))]

    def frame(self) -> dict[str, Any]:
        frame = super().frame()
        return frame if self.object.amount_due else {**frame, "links": []}

    def status(self) -> Any:
        return shown.state_of(self.object)

    def top(self) -> list[Any]:
        return [*shown.notes(self.object), shown.sums(self.object)]

    def main_overview(self) -> list[Any]:
        one = self.object
        return [
            shown.lines_table(self, one),
            *shown.notes_table(self, one),
            shown.workspaces_table(one),
        ]

    def aside_overview(self) -> list[Any]:
        one = self.object
        return [
            shown.files(self, one),
            *shown.reminders(one),
            *shown.credit_used(one),
            shown.facts(one),
        ]


class InvoiceUsage(OfInvoices, Page):
    permission = P.BILLING_READ
    title = _("Usage behind the line")

    @cached_property
    def invoice(self) -> Invoice:
        return invoices.find_invoice(self.actor, self.pk, team_id=self.team.pk)

    def crumbs(self) -> list[tuple[str, str]]:
        there = (self.invoice.name, self.url("invoice", pk=self.pk))
        return [*super().crumbs(), (str(_("Invoices")), self.url("invoices")), there]

    def main(self) -> list[Any]:
        text = self.request.GET.get("line", "1")
        if not text.isascii() or not text.isdigit() or len(text) > 4:
            raise NotFound("not a line")
        return [shown.usage_table(self.invoice, int(text))]


class _File(OfInvoices, shown.InvoiceFile):
    def invoice(self) -> Invoice:
        return invoices.find_invoice(self.actor, self.pk, team_id=self.team.pk)


class InvoicePdf(_File):
    kind = "pdf"


class InvoiceCsv(_File):
    kind = "csv"


class InvoiceJson(_File):
    kind = "json"


class InvoiceFocus(_File):
    kind = "focus"


class CreditNotePdf(OfInvoices, shown.DocumentView):
    title = _("Credit note")

    def document(self) -> invoices.Document:
        note = invoices.find_credit_note(self.actor, self.pk, team_id=self.team.pk)
        return invoices.note_document(note)


class Upcoming(OfInvoices, Page):
    permission = P.BILLING_READ
    title = _("This month so far")
    intro = _("What an invoice would list if the month ended now, before tax. Nothing of it is final.")

    def main(self) -> list[Any]:
        period, usages = invoices.upcoming(actor=self.actor, team_id=self.team.pk)
        currency = self.team.currency
        columns = (
            Column("product", _("Product"), self._product, main=True),
            Column("workspace", _("Workspace"), priority=2),
            Column("quantity", _("Quantity"), shown.quantity_of, num=True, priority=2),
            Column(
                "price", _("Price"), lambda one: cells.price(one.unit_price, currency), num=True, priority=2
            ),
            Column("amount", _("Amount"), lambda one: cells.money(one.amount, currency, 4), num=True),
        )
        empty = Empty(_("Nothing was used this month"), icon="receipt")
        total = cells.money(invoices.totals(usages), currency)
        kpis = Kpis([Kpi(_("So far"), total, note=period.label)])
        return [kpis, Table(_("Lines"), columns, usages, empty)]

    def _product(self, one: Usage) -> Any:
        is_late = one.kind == LineKind.PRIOR_PERIOD
        name = describe(one.product)
        return cells.two_lines(name, _now("of an earlier month")) if is_late else name


class InvoicePay(OfInvoices, FormPage):
    permission = P.BILLING_MANAGE
    title = _("Pay an invoice")
    form_class = forms.Form
    submit = _("Pay")

    @cached_property
    def invoice(self) -> Invoice:
        return invoices.find_invoice(self.actor, self.pk, team_id=self.team.pk)

    def crumbs(self) -> list[tuple[str, str]]:
        return [*super().crumbs(), (self.invoice.name, self.url("invoice", pk=self.pk))]

    def form(self, data: Any = None) -> forms.Form:
        form = forms.Form(data)
        form.fields["way"] = way_field(self)
        return form

    @property
    def sections(self) -> Any:  # type: ignore[override]
        due = cells.money(self.invoice.amount_due, self.invoice.currency)
        return (Section(_("How"), _now("%(due)s is to be paid.") % {"due": due}, ("way",)),)

    def save(self, data: dict[str, Any]) -> str:
        provider, _colon, method = data["way"].partition(":")
        payment = services.pay_invoice(
            actor=self.actor,
            invoice_id=str(self.invoice.pk),
            team=self.team,
            provider=provider,
            method_id=method or None,
        )
        return self.url("payment", pk=payment.pk)


class ProfileFields(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=120)
    street = forms.CharField(label=_("Street"), max_length=120, required=False)
    postal_code = forms.CharField(label=_("Postal code"), max_length=20, required=False)
    city = forms.CharField(label=_("City"), max_length=80, required=False)
    country = forms.CharField(label=_("Country"), max_length=2, min_length=2, help_text=_("Two letters: DE."))
    tax_id = forms.CharField(
        label=_("Tax number"),
        max_length=40,
        required=False,
        help_text=_("With one you are billed as a business."),
    )
    email = forms.EmailField(label=_("E-mail for invoices"), required=False)
    reference = forms.CharField(label=_("Your reference"), max_length=80, required=False)


class Profile(OfInvoices, FormPage):
    permission = P.BILLING_MANAGE
    title = _("Invoices are made out to")
    form_class = ProfileFields
    submit = _("Save")
    done = _("Saved for future invoices.")
    sections = (
        Section(
            _("Who"), _("As it is printed on invoices."), ("name", "street", "postal_code", "city", "country")
        ),
        Section(
            _("Tax and mail"),
            _("The country and tax number decide on tax."),
            ("tax_id", "email", "reference"),
        ),
    )

    def initial(self) -> dict[str, Any]:
        profile = parties.profile_of(actor=self.actor, team=self.team)
        return {name: getattr(profile, name) for name in ProfileFields.base_fields}

    def save(self, data: dict[str, Any]) -> str:
        invoicing.save_profile(actor=self.actor, team=self.team, address=Address(**data))
        return self.url("invoices")
