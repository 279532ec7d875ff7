"""Invoices in the Admin panel: everybody's, runs, corrections, companies and tax."""

from dataclasses import replace
from decimal import Decimal
from functools import cached_property
from typing import Any

from django import forms
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.core.errors import NotFound
from apps.core.permissions import Permission
from apps.invoicing import services
from apps.invoicing.models import CreditNote, Invoice
from apps.invoicing.selectors import invoices
from apps.invoicing.services import CreditWish
from apps.invoicing.states import INVOICE, InvoiceState
from apps.panels import invoices as shown
from apps.panels.kit import (
    Action,
    Column,
    Detail,
    Empty,
    Filter,
    FormPage,
    Link,
    Note,
    Page,
    Resource,
    SavedView,
    Section,
    cells,
)

P = Permission


class OfInvoices:
    """What all these pages share."""

    panel = "admin"
    nav = "invoices"


def _team(row: Any) -> str:
    return str(row.team.name)


GIVE_UP = Action(
    "give-up",
    _("Write off"),
    P.WALLET_CREDIT,
    lambda view, one: services.give_up_invoice(actor=view.actor, invoice_id=str(one.pk)) and None,
    icon="ban",
    when=lambda one: INVOICE.allows("give_up", one.state),
    confirm=_("What is owed is booked as lost. Should it be paid after all, that is booked against it."),
    danger=True,
    menu=True,
    done=_("The invoice is written off."),
)
RETRY = Action(
    "retry",
    _("Try again"),
    P.BILLING_MANAGE,
    lambda view, one: services.retry_invoice(actor=view.actor, invoice_id=str(one.pk)) and None,
    icon="rotate-cw",
    when=lambda one: bool(one.parked_because),
    done=_("It is tried again in a moment."),
)


NUMBER, MONTH, STATE, TOTAL, TO_PAY, DUE = shown.INVOICE_COLUMNS
TEAM = Column("team", _("Team"), _team, sort="team__name", text=_team)


class InvoiceList(OfInvoices, Resource):
    permission = P.BILLING_READ
    title = _("Invoices")
    intro = _("One per team and month; a number is given when it is final, and then nothing changes.")
    model = Invoice
    live = "invoice."
    order = "-period"
    search = ("number", "team__name")
    search_hint = _("Search by number or team")
    filters = (Filter("state", _("State"), InvoiceState.choices),)
    views = (
        SavedView("all", _("All")),
        SavedView("open", _("To be paid"), Q(state=InvoiceState.OPEN)),
        SavedView("overdue", _("Overdue"), invoices.OVERDUE),
        SavedView("parked", _("Parked"), ~Q(parked_because="")),
    )
    actions = (RETRY,)
    links = (
        Link(_("Credit notes"), "credit-notes", P.BILLING_READ, icon="undo-2", primary=False),
        Link(_("Companies"), "companies", P.BILLING_READ, icon="building-2", primary=False),
        Link(_("Tax rates"), "tax-rates", P.BILLING_READ, icon="scale", primary=False),
        Link(_("Runs"), "invoice-runs", P.BILLING_READ, icon="list-checks"),
    )
    empty = Empty(_("No invoice yet"), _("They are made when a month is over."), icon="receipt")
    columns = (NUMBER, TEAM, replace(MONTH, priority=2), STATE, TOTAL, replace(TO_PAY, priority=2), DUE)

    def rows(self) -> QuerySet[Any]:
        return invoices.invoices(self.actor)


class InvoicePage(OfInvoices, Detail):
    permission = P.BILLING_READ
    model = Invoice
    live = "invoice."
    actions = (RETRY, GIVE_UP)

    @property
    def links(self) -> tuple[Link, ...]:  # type: ignore[override]
        state = self.object.state
        credit = Link(_("Credit"), "invoice-credit", P.WALLET_CREDIT, icon="undo-2", primary=False)
        void = Link(_("Void"), "invoice-void", P.WALLET_CREDIT, icon="x", primary=False)
        can_credit = state not in (InvoiceState.DRAFT, InvoiceState.VOID)
        return (*([credit] if can_credit else []), *([void] if INVOICE.allows("void", state) else []))

    def rows(self) -> QuerySet[Any]:
        return invoices.invoices(self.actor)

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Invoices")), self.url("invoices"))]

    def status(self) -> Any:
        return shown.state_of(self.object)

    def meta(self) -> list[Any]:
        return [cells.link(self.object.team.name, self.url("team", pk=self.object.team_id))]

    def top(self) -> list[Any]:
        one = self.object
        if one.state == InvoiceState.DRAFT:
            text = one.parked_because or _now("It becomes final by itself when the grace period is over.")
            return [Note(text, "bad" if one.parked_because else "info")]
        return [*shown.notes(one), shown.sums(one)]

    def main_overview(self) -> list[Any]:
        if self.object.state == InvoiceState.DRAFT:
            return []
        one = self.object
        return [
            shown.lines_table(self, one),
            *shown.notes_table(self, one),
            shown.workspaces_table(one),
        ]

    def aside_overview(self) -> list[Any]:
        is_draft = self.object.state == InvoiceState.DRAFT
        files = [] if is_draft else [shown.files(self, self.object), *shown.reminders(self.object)]
        return [*files, *shown.credit_used(self.object), shown.facts(self.object)]


class _File(OfInvoices, shown.InvoiceFile):
    def invoice(self) -> Invoice:
        return invoices.find_invoice(self.actor, self.pk)


class InvoicePdf(_File):
    kind = "pdf"


class InvoiceCsv(_File):
    kind = "csv"


class InvoiceJson(_File):
    kind = "json"


class InvoiceFocus(_File):
    kind = "focus"


# ------------------------------------------------------------ corrections


class _Correction(OfInvoices, FormPage):
    permission = P.WALLET_CREDIT
    danger = True

    @cached_property
    def invoice(self) -> Invoice:
        return invoices.find_invoice(self.actor, self.pk)

    def crumbs(self) -> list[tuple[str, str]]:
        there = (self.invoice.name, self.url("invoice", pk=self.pk))
        return [(str(_("Invoices")), self.url("invoices")), there]


class ReasonFields(forms.Form):
    reason = forms.CharField(label=_("Reason"), max_length=200, help_text=_("Stands on the credit note."))


class InvoiceVoid(_Correction):
    title = _("Void an invoice")
    form_class = ReasonFields
    submit = _("Void it")
    done = _("The invoice is void.")
    sections = (Section(_("Why"), _("A credit note takes back all that is left of it."), ("reason",)),)

    def save(self, data: dict[str, Any]) -> str:
        services.void_invoice(actor=self.actor, invoice_id=self.pk, reason=data["reason"])
        return self.url("invoice", pk=self.pk)


class InvoiceCredit(_Correction):
    title = _("Credit an invoice")
    form_class = ReasonFields
    submit = _("Issue the credit note")
    done = _("The credit note is issued.")

    @cached_property
    def lines(self) -> list[Any]:
        """Those of which something is left to take back."""
        found = invoices.lines(self.invoice).filter(kind__in=services.credit_notes.CREDITABLE)
        return [line for line in found if line.amount > self.credited.get(line.position, 0)][:100]

    @cached_property
    def credited(self) -> dict[int, Decimal]:
        return invoices.credited_by_line(self.invoice)

    def form(self, data: Any = None) -> forms.Form:
        form = ReasonFields(data)
        for line in self.lines:
            name = f"{line.description} · {line.workspace}" if line.workspace else line.description
            left = line.amount - self.credited.get(line.position, 0)
            most = _("%(left)s is left") % {"left": cells.money(left, self.invoice.currency)}
            form.fields[f"line_{line.position}"] = forms.DecimalField(
                label=name, required=False, min_value=0, max_digits=20, decimal_places=3, help_text=most
            )
        return form

    @property
    def sections(self) -> Any:  # type: ignore[override]
        names = tuple(f"line_{line.position}" for line in self.lines)
        text = _("How much of each line; its share of the tax goes with it.")
        return (Section(_("What"), text, names), Section(_("Why"), "", ("reason",)))

    def save(self, data: dict[str, Any]) -> str:
        amounts = {
            line.position: data[f"line_{line.position}"]
            for line in self.lines
            if data.get(f"line_{line.position}")
        }
        wish = CreditWish(amounts, data["reason"])
        services.credit_invoice(actor=self.actor, invoice_id=self.pk, wish=wish)
        return self.url("invoice", pk=self.pk)


class CreditNoteList(OfInvoices, Resource):
    permission = P.BILLING_READ
    title = _("Credit notes")
    intro = _("How final invoices were corrected.")
    model = CreditNote
    live = "invoice."
    order = "-issued"
    search = ("number", "team__name", "invoice__number")
    search_hint = _("Search by number or team")
    empty = Empty(_("No credit note yet"), _("They are issued on an invoice's page."), icon="undo-2")
    columns = (
        shown.NOTE_NUMBER,
        Column("invoice", _("Invoice"), lambda one: one.invoice.number, text=lambda one: one.invoice.number,
               to=lambda view, one: view.url("invoice", pk=one.invoice_id)),
        Column("team", _("Team"), _team, sort="team__name", text=_team, priority=2),
        *shown.NOTE_REASON,
    )  # fmt: skip

    def rows(self) -> QuerySet[Any]:
        return invoices.credit_notes(self.actor)


class CreditNotePdf(OfInvoices, shown.DocumentView):
    title = _("Credit note")

    def document(self) -> invoices.Document:
        return invoices.note_document(invoices.find_credit_note(self.actor, self.pk))


class InvoiceUsage(OfInvoices, Page):
    permission = P.BILLING_READ
    title = _("Usage behind the line")

    @cached_property
    def invoice(self) -> Invoice:
        return invoices.find_invoice(self.actor, self.pk)

    def crumbs(self) -> list[tuple[str, str]]:
        there = (self.invoice.name, self.url("invoice", pk=self.pk))
        return [(str(_("Invoices")), self.url("invoices")), there]

    def main(self) -> list[Any]:
        text = self.request.GET.get("line", "1")
        if not text.isascii() or not text.isdigit() or len(text) > 4:
            raise NotFound("not a line")
        return [shown.usage_table(self.invoice, int(text))]
