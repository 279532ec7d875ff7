"""Reading invoices: lists, one with its lines, what stands behind a line, runs, what is to come."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Count, QuerySet, Sum
from django.utils.translation import gettext as _

from apps.billing.models import RatedUsage
from apps.core.actor import Actor
from apps.core.errors import NotFound
from apps.invoicing.models import Invoice, InvoicedUsage, InvoiceLine
from apps.invoicing.selectors import paper

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
class WorkspaceSum:
    """What one workspace used, as an invoice's lines say."""

    workspace_id: str | None
    workspace: str
    amount: Decimal
    lines: int


def invoices(actor: Actor, *, team_id: str | None = None) -> Rows:
    """Invoices the actor may see. A team sees its final ones, staff also drafts."""
    rows: Any = Invoice.objects.visible_to(actor).select_related("team", "entity")
    return rows if team_id is None else rows.final().filter(team_id=team_id)


def find_invoice(actor: Actor, invoice_id: str, *, team_id: str | None = None) -> Invoice:
    found: Invoice | None = invoices(actor, team_id=team_id).filter(pk=invoice_id).first()
    if found is None:
        raise NotFound(_("There is no such invoice."))
    return found


def lines(invoice: Invoice) -> Rows:
    """The invoice's lines in order."""
    return InvoiceLine.objects.filter(invoice=invoice).order_by("position")


def by_workspace(invoice: Invoice) -> list[WorkspaceSum]:
    """What each workspace used, the dearest first."""
    rows: Any = lines(invoice).exclude(kind__in=["tax", "promotion"]).order_by()
    sums = rows.values_list("workspace_id", "workspace").annotate(s=Sum("amount"), n=Count("pk"))
    return [WorkspaceSum(*row) for row in sums.order_by("-s", "workspace")]


def rated_rows(invoice: Invoice, position: int) -> Rows:
    """The rated rows that a line is the sum of."""
    ids = InvoicedUsage.objects.filter(invoice=invoice, position=position).values("rated_id")
    return RatedUsage.objects.filter(pk__in=ids, team_id=invoice.team_id).order_by("started_at", "pk")
