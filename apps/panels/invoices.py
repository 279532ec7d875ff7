"""What the Console and the Admin panel show of invoices and payments alike."""

from typing import Any, ClassVar

from django.http import HttpResponse, HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.core.errors import NotFound
from apps.core.money import ZERO, plain
from apps.core.permissions import Permission
from apps.invoicing.models import Invoice
from apps.invoicing.selectors import content, invoices
from apps.invoicing.specs import unit_word
from apps.invoicing.states import InvoiceState, LineKind
from apps.panels.kit import (
    Column,
    Events,
    Facts,
    Happened,
    Html,
    Kpi,
    Kpis,
    Note,
    PanelView,
    Table,
    cells,
    moment,
    money,
)
from apps.payments.states import PaymentState, RefundState

TONES = {
    InvoiceState.OPEN: "warn",
    InvoiceState.PAID: "ok",
    InvoiceState.UNCOLLECTIBLE: "bad",
    PaymentState.WAITING: "warn",
    PaymentState.SUCCEEDED: "ok",
    PaymentState.FAILED: "bad",
    RefundState.REQUESTED: "warn",
}
MOST_ROWS = 500  # of usage behind one line
FILES = (("pdf", "PDF"), ("csv", "CSV"), ("json", "JSON"), ("focus", "FOCUS"))


def state_of(row: Any) -> Any:
    """A state as a tag."""
    return cells.tag(row.get_state_display(), TONES.get(row.state, ""))


def money_cell(name: str) -> Any:
    """A cell for an amount in the row's own currency."""
    return lambda row: cells.money(getattr(row, name), row.currency)


def money_text(name: str) -> Any:
    return lambda row: plain(getattr(row, name) or ZERO)


def month(moment: Any) -> str:
    return f"{moment:%Y-%m}"


def is_overdue(invoice: Invoice) -> bool:
    """Whether something of it should have been paid by now."""
    return bool(invoice.amount_due and invoice.due_at and invoice.due_at < timezone.now())


def due_cell(invoice: Invoice) -> Any:
    """Until when it is to be paid, marked when that is over."""
    if not invoice.amount_due:
        return cells.NONE
    shown = cells.day(invoice.due_at)
    return cells.join(shown, cells.tag(_("overdue"), "bad")) if is_overdue(invoice) else shown


DUE = Column("due_at", _("Due"), due_cell, sort="due_at", priority=2,
             text=lambda one: one.due_at.isoformat() if one.due_at else "")  # fmt: skip
INVOICE_COLUMNS = (
    Column("number", _("Number"), lambda one: one.name, sort="serial", main=True, to="invoice"),
    Column("period", _("Month"), lambda one: month(one.period_start), sort="period_end", mono=True,
           text=lambda one: month(one.period_start)),
    Column("state", _("State"), state_of, sort="state", text=lambda one: one.state),
    Column("total", _("Total"), money_cell("total"), sort="total", num=True, text=money_text("total")),
    Column("due", _("To be paid"), money_cell("amount_due"), num=True, text=money_text("amount_due")),
    DUE,
)  # fmt: skip


class DocumentView(PanelView):
    """A document to download."""

    permission = Permission.BILLING_READ

    def document(self) -> invoices.Document:
        raise NotImplementedError

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        found = self.document()
        response = HttpResponse(found.content, content_type=found.media_type)
        response.headers["Content-Disposition"] = f'attachment; filename="{found.name}"'
        return response


class InvoiceFile(DocumentView):
    """An invoice as a file."""

    title = _("Invoice")
    kind: ClassVar[str]

    def invoice(self) -> Invoice:
        raise NotImplementedError

    def document(self) -> invoices.Document:
        return invoices.document(self.invoice(), self.kind)


def sums(invoice: Invoice) -> Kpis:
    """The four figures above an invoice."""
    currency = invoice.currency
    covered = _now("%(sum)s from the balance") % {"sum": cells.money(invoice.from_balance, currency)}
    due = _now("by %(day)s") % {"day": f"{invoice.due_at:%Y-%m-%d}"} if invoice.amount_due else ""
    used = month(invoice.period_start)
    if invoice.discount:
        off = {"month": used, "sum": cells.money(invoice.discount, currency)}
        used = _now("%(month)s, less %(sum)s granted credit") % off
    return Kpis(
        [
            Kpi(_("Usage"), cells.money(invoice.subtotal, currency), note=used),
            Kpi(_("Tax"), cells.money(invoice.tax, currency)),
            Kpi(_("Total"), cells.money(invoice.total, currency), note=covered),
            Kpi(_("To be paid"), cells.money(invoice.amount_due, currency), note=due or _("nothing is left")),
        ]
    )  # fmt: skip


def lines_table(view: Any, invoice: Invoice) -> Table:
    """Every line, with the way to what stands behind it."""
    columns = (
        Column("what", _("What"), lambda one: _described(view, one), main=True),
        Column("workspace", _("Workspace"), lambda one: one.workspace or cells.NONE, priority=2),
        Column("quantity", _("Quantity"), _quantity, num=True, priority=2),
        Column("price", _("Price"), lambda one: _price(one, invoice.currency), num=True, priority=2),
        Column("exact", _("Exact"), lambda one: cells.price(one.exact, invoice.currency), num=True,
               priority=3),
        Column("amount", _("Amount"), lambda one: cells.money(one.amount, invoice.currency), num=True),
    )  # fmt: skip
    return Table(_("Lines"), columns, list(invoices.lines(invoice)), view=view)


def workspaces_table(invoice: Invoice) -> Table:
    """What each workspace used."""
    total = invoice.subtotal
    columns = (
        Column("workspace", _("Workspace"), main=True),
        Column("amount", _("Used"), lambda one: cells.money(one.amount, invoice.currency), num=True),
        Column("share", _("Share"), lambda one: cells.bar(one.amount / total if total else 0)),
    )
    return Table(_("By workspace"), columns, invoices.by_workspace(invoice))


def usage_table(invoice: Invoice, position: int) -> Table:
    """The rated rows that a line is the sum of."""
    line = invoices.lines(invoice).filter(position=position).first()
    if line is None:
        raise NotFound(_now("There is no such line."))
    columns = (
        Column("at", _("From"), lambda one: cells.exact(one.started_at), main=True),
        Column("resource", _("Resource"), lambda one: cells.mono(one.resource_id), priority=2),
        Column("quantity", _("Units"), lambda one: plain(one.quantity), num=True, priority=3),
        Column("seconds", _("Seconds"), lambda one: plain(one.seconds), num=True, priority=3),
        Column("amount", _("Amount"), lambda one: cells.money(one.amount, invoice.currency, 12), num=True),
        Column("fact", _("Fact"), _fact, priority=3),
    )  # fmt: skip
    rows = list(invoices.rated_rows(invoice, position)[:MOST_ROWS])
    said = {
        "shown": cells.number(len(rows)),
        "all": cells.number(line.rows),
        "price": cells.price(line.unit_price, invoice.currency),
        "sum": cells.money(line.exact, invoice.currency, 6),
    }
    title = f"{line.description} · {line.workspace}" if line.workspace else line.description
    return Table(title, columns, rows, sub=_now("%(shown)s of %(all)s rows, at %(price)s: %(sum)s") % said)


NOTE_NUMBER = Column("number", _("Number"), main=True, sort="serial", to="credit-note-pdf")
NOTE_REASON = (
    moment("issued", _("Issued"), "issued_at", cells.day, priority=2),
    Column("reason", _("Reason"), priority=2),
    money("total", _("Total"), "total"),
)


def notes_table(view: Any, invoice: Invoice) -> list[Table]:
    """The credit notes that correct the invoice, each with its document."""
    found = list(invoices.credit_notes(view.actor, team_id=invoice.team_id).filter(invoice=invoice))
    return [Table(_("Credit notes"), (NOTE_NUMBER, *NOTE_REASON), found, view=view)] if found else []


def files(view: Any, invoice: Invoice) -> Html:
    """Links to the files."""
    links = [(label, view.url(f"invoice-{kind}", pk=invoice.pk)) for kind, label in FILES]
    return Html("kit/money/files.html", {"links": links})


def facts(invoice: Invoice) -> Facts:
    """Whom it names, and its hash."""
    customer = invoice.snapshot.get("customer", {})
    seller = invoice.snapshot.get("seller", {})
    return Facts(
        _("Details"),
        [
            (_("Made out to"), customer.get("name")),
            (_("Issued by"), seller.get("name")),
            (_("Issued"), cells.exact(invoice.finalized_at)),
            (_("Paid"), cells.exact(invoice.paid_at) if invoice.paid_at else None),
            (_("Mailed"), cells.exact(invoice.sent_at) if invoice.sent_at else None),
            (_("Hash"), cells.mono(invoice.content_hash[:16]) if invoice.content_hash else None),
            (_("After"), cells.mono(invoice.previous_hash[:16]) if invoice.previous_hash else None),
        ],
    )


def credit_used(invoice: Invoice) -> list[Facts]:
    """Which granted credit paid part of the period."""
    rows = [
        (reason, cells.money(amount, invoice.currency)) for reason, amount in content.credit_used(invoice)
    ]
    return [Facts(_("Granted credit used"), rows, sub=month(invoice.period_start))] if rows else []


def reminders(invoice: Invoice) -> list[Events]:
    """What was said of an overdue invoice, and to whom."""
    said = [
        Happened(
            _now("Reminder %(level)s") % {"level": one.level},
            one.created_at,
            one.mailed_to or _now("the mail has not gone out yet"),
            "warn",
        )
        for one in invoices.reminders(invoice)
    ]
    return [Events(_("Reminders"), said)] if said else []


def notes(invoice: Invoice) -> list[Note]:
    """What matters about it: that it is overdue, and its tax."""
    found = []
    if is_overdue(invoice):
        last = invoices.reminders(invoice).first()
        text = _now("It was due on %(day)s.") % {"day": f"{invoice.due_at:%Y-%m-%d}"}
        if last is not None:
            said = {"level": last.level, "day": f"{last.created_at:%Y-%m-%d}"}
            text = f"{text} {_now('Reminder %(level)s went out on %(day)s.') % said}"
        found.append(Note(text, "bad"))
    if "reverse_charge" in invoice.snapshot.get("notes", []):
        found.append(Note(_now("Reverse charge: the recipient accounts for the tax.")))
    return found


def quantity_of(one: Any) -> str:
    """How much, and of what."""
    rounded = round(one.quantity, 4)
    digits = max(0, -rounded.normalize().as_tuple().exponent)
    return f"{cells.number(rounded, digits)} {unit_word(one.product, one.unit)}"


def _fact(row: Any) -> Any:
    return cells.mono(row.event_id or row.interval_id or row.transaction_id)


def _described(view: Any, line: Any) -> Any:
    if line.kind == LineKind.TAX:
        rate = f"{plain(line.tax_rate * 100)} %" if line.tax_rate else "0 %"
        return cells.two_lines(line.tax_name or _now("Tax"), rate)
    label = line.description
    if line.rows:
        label = cells.link(label, f"{view.url('invoice-usage', pk=line.invoice_id)}?line={line.position}")
    late = _now("of an earlier month") if line.kind == LineKind.PRIOR_PERIOD else ""
    count = _now("%(n)s rated rows") % {"n": line.rows} if line.rows else ""
    return cells.two_lines(label, late or count)


def _quantity(line: Any) -> Any:
    if not line.rows:
        return cells.NONE
    return quantity_of(line)


def _price(line: Any, currency: str) -> Any:
    return cells.price(line.unit_price, currency) if line.rows else cells.NONE
