"""Reading invoices: lists, one with its lines, what stands behind a line, runs, what is to come."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Count, F, Q, QuerySet, Sum
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from apps.billing.models import RatedUsage
from apps.core.actor import Actor, team_scope
from apps.core.clock import db_now
from apps.core.errors import NotFound
from apps.core.money import ZERO
from apps.core.permissions import Permission
from apps.invoicing.models import CreditNote, Invoice, InvoicedUsage, InvoiceLine, InvoiceRun, Reminder
from apps.invoicing.selectors import collecting, paper
from apps.invoicing.specs import Period, Usage
from apps.invoicing.states import InvoiceState

Rows = QuerySet[Any]

FORMATS = {
    "pdf": ("application/pdf", paper.pdf),
    "csv": ("text/csv", paper.csv_of),
    "json": ("application/json", paper.json_of),
    "focus": ("text/csv", lambda invoice: paper.focus_of([invoice])),
}


@dataclass(frozen=True, slots=True)
class Document:
    """A file to hand out."""

    name: str
    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class CurrencySum:
    """What invoices in one currency come to."""

    currency: str
    total: Decimal


@dataclass(frozen=True, slots=True)
class WorkspaceSum:
    """What one workspace used, as an invoice's lines say."""

    workspace_id: str | None
    workspace: str
    amount: Decimal
    lines: int


def invoices(actor: Actor, *, team_id: str | None = None) -> Rows:
    """Invoices the actor may see. A team sees its final ones, staff also drafts."""
    rows: Any = Invoice.objects.visible_to(actor).select_related("team", "entity")
    found: Rows = rows if team_id is None else rows.final().filter(team_id=team_id)
    return found


def find_invoice(actor: Actor, invoice_id: str, *, team_id: str | None = None) -> Invoice:
    found: Invoice | None = invoices(actor, team_id=team_id).filter(pk=invoice_id).first()
    if found is None:
        raise NotFound(_("There is no such invoice."))
    return found


def lines(invoice: Invoice) -> Rows:
    """The invoice's lines in order."""
    return InvoiceLine.objects.filter(invoice=invoice).order_by("position")


def reminders(invoice: Invoice) -> Rows:
    """What was said of the invoice when it was overdue, newest first."""
    return Reminder.objects.filter(invoice=invoice)


def by_workspace(invoice: Invoice) -> list[WorkspaceSum]:
    """What each workspace used, the dearest first."""
    rows: Any = lines(invoice).exclude(kind__in=["tax", "promotion"]).order_by()
    sums = rows.values_list("workspace_id", "workspace").annotate(s=Sum("amount"), n=Count("pk"))
    return [WorkspaceSum(*row) for row in sums.order_by("-s", "workspace")]


def rated_rows(invoice: Invoice, position: int) -> Rows:
    """The rated rows that a line is the sum of."""
    ids = InvoicedUsage.objects.filter(invoice=invoice, position=position).values("rated_id")
    return RatedUsage.objects.filter(pk__in=ids, team_id=invoice.team_id).order_by("started_at", "pk")


def document(invoice: Invoice, kind: str) -> Document:
    """The invoice as a file: `pdf`, `csv`, `json` or `focus`."""
    if invoice.state == InvoiceState.DRAFT or kind not in FORMATS:
        raise NotFound(_("There is no such document."))
    media_type, make = FORMATS[kind]
    suffix = "focus.csv" if kind == "focus" else kind
    return Document(f"{invoice.number}.{suffix}", media_type, make(invoice))


def note_document(note: CreditNote) -> Document:
    """A credit note as PDF."""
    return Document(f"{note.number}.pdf", "application/pdf", paper.credit_note_pdf(note))


def export(actor: Actor, *, period: Period) -> Document:
    """Every final invoice of a period in FOCUS 1.2, for staff."""
    actor.require(Permission.BILLING_READ)
    rows: Any = Invoice.objects.final().filter(period_end=period.end).order_by("serial")
    return Document(f"focus-{period.label}.csv", "text/csv", paper.focus_of(rows))


def upcoming(*, actor: Actor, team_id: str) -> tuple[Period, list[Usage]]:
    """What this month's invoice would list if the month ended now."""
    actor.require(Permission.BILLING_READ, team_scope(team_id))
    now = db_now()
    period = Period.month(now.year, now.month)
    return period, collecting.preview(team_id=team_id, period=period)


# Open invoices that should have been paid by now.
OVERDUE = Q(state=InvoiceState.OPEN, due_at__lt=Now())


def waiting(actor: Actor) -> dict[str, int]:
    """How many invoices wait for somebody: overdue ones, and drafts that could not be made final."""
    parked = Q(state=InvoiceState.DRAFT) & ~Q(parked_because="")
    rows: Any = Invoice.objects.visible_to(actor).order_by()
    found: dict[str, int] = rows.aggregate(
        overdue=Count("pk", filter=OVERDUE), parked_invoices=Count("pk", filter=parked)
    )
    return found


def owed(team_id: str) -> Decimal:
    """What a team's open invoices come to."""
    rows: Any = Invoice.objects.unpaid().filter(team_id=team_id)
    left = F("due_receivable") + F("due_balance") - F("amount_paid") - F("amount_credited")
    return rows.aggregate(s=Sum(left))["s"] or ZERO


def runs(actor: Actor) -> Rows:
    """A month's runs with how far they are, for staff."""
    draft, parked = Q(invoices__state=InvoiceState.DRAFT), ~Q(invoices__parked_because="")
    rows: Any = InvoiceRun.objects.visible_to(actor)
    found: Rows = rows.annotate(
        invoices_made=Count("invoices", filter=~draft),
        drafts=Count("invoices", filter=draft),
        parked=Count("invoices", filter=draft & parked),
    )
    return found


def billed(run: InvoiceRun) -> list[CurrencySum]:
    """What the final invoices of a run come to, by currency."""
    rows: Any = Invoice.objects.final().filter(run=run).order_by("currency")
    return [CurrencySum(*row) for row in rows.values_list("currency").annotate(s=Sum("total"))]


def find_run(actor: Actor, run_id: str) -> InvoiceRun:
    found: InvoiceRun | None = runs(actor).filter(pk=run_id).first()
    if found is None:
        raise NotFound(_("There is no such run."))
    return found


def credit_notes(actor: Actor, *, team_id: str | None = None) -> Rows:
    rows: Any = CreditNote.objects.visible_to(actor).select_related("invoice", "team")
    found: Rows = rows if team_id is None else rows.filter(team_id=team_id)
    return found


def find_credit_note(actor: Actor, note_id: str, *, team_id: str | None = None) -> CreditNote:
    found: CreditNote | None = credit_notes(actor, team_id=team_id).filter(pk=note_id).first()
    if found is None:
        raise NotFound(_("There is no such credit note."))
    return found


def credited_by_line(invoice: Invoice) -> dict[int, Decimal]:
    """What credit notes have taken back of each line, by its position."""
    found: dict[int, Decimal] = {}
    for taken in invoice.credit_notes.values_list("lines", flat=True):
        for line in taken:
            found[line["position"]] = found.get(line["position"], ZERO) + Decimal(line["amount"])
    return found


def totals(rows: Sequence[Usage]) -> Decimal:
    return sum((row.amount for row in rows), ZERO)
