"""Invoices as files: PDF, CSV, JSON and FOCUS. Made anew from the rows, which do not change."""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import timedelta
from decimal import Decimal
from importlib import import_module
from typing import Any

from django.db.models import prefetch_related_objects
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from apps.core.money import ZERO, minor_digits, plain
from apps.core.spreadsheets import harmless
from apps.invoicing import focus
from apps.invoicing.models import CreditNote, Invoice, InvoiceLine
from apps.invoicing.selectors import content
from apps.invoicing.specs import describe, unit_word

CSV_COLUMNS = (
    "invoice", "position", "kind", "workspace", "description", "product", "unit", "quantity", "unit_price",
    "exact", "amount", "tax_name", "tax_rate", "currency",
)  # fmt: skip


def pdf(invoice: Invoice) -> bytes:
    """The invoice as it is printed."""
    return _print("invoicing/invoice.html", _words(invoice))


def credit_note_pdf(note: CreditNote) -> bytes:
    """A credit note as it is printed."""
    currency, off = note.currency, note.total - note.to_balance
    lines = [
        {
            **line,
            "what": describe(line["product"]),
            "tax": _percent(Decimal(line["tax_rate"])),
            "shown": figure(Decimal(line["amount"]), currency),
        }
        for line in note.lines
    ]
    went = ((_("Off what was to be paid"), off), (_("To the balance"), note.to_balance))
    words = {
        "note": note,
        "seller": note.snapshot["seller"],
        "customer": note.snapshot["customer"],
        "lines": lines,
        "sums": [(_("Net"), shown(note.net, currency)), (_("Tax"), shown(note.tax, currency))],
        "total": shown(note.total, currency),
        "went": [(label, shown(amount, currency)) for label, amount in went if amount > 0],
    }
    return _print("invoicing/credit_note.html", words)


def csv_of(invoice: Invoice) -> bytes:
    """One row per line, exact."""
    rows = [
        {
            "invoice": invoice.number,
            "currency": invoice.currency,
            **{name: _plain(getattr(line, name)) for name in CSV_COLUMNS if hasattr(line, name)},
        }
        | {"invoice": invoice.number}
        for line in lines_of(invoice)
    ]
    return _csv(CSV_COLUMNS, rows)


def json_of(invoice: Invoice) -> bytes:
    """All that the hash covers, with the hash."""
    return content.as_json(invoice, lines_of(invoice))


def focus_of(invoices: Iterable[Invoice]) -> bytes:
    """Invoices in FOCUS 1.2, one after the other."""
    return _csv(focus.COLUMNS, focus_rows(invoices))


def billed(invoices: Iterable[Invoice]) -> Decimal:
    """What their FOCUS rows add up to."""
    return focus.billed(focus_rows(invoices))


def focus_rows(invoices: Iterable[Invoice]) -> list[dict[str, str]]:
    found = list(invoices)
    prefetch_related_objects(found, "lines")
    return [row for invoice in found for row in focus.rows_of(_head(invoice), map(vars, invoice.lines.all()))]


def lines_of(invoice: Invoice) -> list[InvoiceLine]:
    return list(invoice.lines.order_by("position"))


def shown(amount: Decimal, currency: str) -> str:
    """An amount as documents print it: in the currency's own decimals."""
    return f"{figure(amount, currency)} {currency}"


def figure(amount: Decimal, currency: str) -> str:
    """The same where the head of the column names the currency."""
    return f"{amount:,.{minor_digits(currency)}f}"


def _head(invoice: Invoice) -> dict[str, Any]:
    parties = invoice.snapshot
    return {
        "number": invoice.number,
        "currency": invoice.currency,
        "period_start": invoice.period_start,
        "period_end": invoice.period_end,
        "team_id": invoice.team_id,
        "team_name": parties["customer"]["team_name"],
        "seller": parties["seller"]["name"],
        "is_inclusive": parties["is_inclusive"],
    }


def _words(invoice: Invoice) -> dict[str, Any]:
    lines, currency = lines_of(invoice), invoice.currency
    by_workspace: dict[str, list[InvoiceLine]] = {}
    for line in lines:
        if line.kind not in ("tax", "promotion"):
            by_workspace.setdefault(line.workspace, []).append(line)
    return {
        "invoice": invoice,
        "last_day": invoice.period_end - timedelta(microseconds=1),
        "seller": invoice.snapshot["seller"],
        "customer": invoice.snapshot["customer"],
        "groups": [_group(name, found, currency) for name, found in by_workspace.items()],
        "sums": _sums(invoice, lines),
        "total": shown(invoice.total, currency),
        "from_balance": shown(invoice.from_balance, currency) if invoice.from_balance else "",
        "due": shown(invoice.total - invoice.from_balance, currency),
        "is_due": invoice.total > invoice.from_balance,
        "credit": [(reason, shown(amount, currency)) for reason, amount in content.credit_used(invoice)],
        "is_reverse": "reverse_charge" in invoice.snapshot["notes"],
    }


def _group(workspace: str, lines: Sequence[InvoiceLine], currency: str) -> dict[str, Any]:
    """What one workspace used, with its sum."""
    total = sum((line.amount for line in lines), ZERO)
    return {
        "workspace": workspace,
        "amount": figure(total, currency),
        "lines": [_printed(line, currency) for line in lines],
    }


def _printed(line: InvoiceLine, currency: str) -> dict[str, Any]:
    return {
        "description": line.description,
        "is_late": line.kind == "prior_period",
        "quantity": f"{line.quantity:,.4f}".rstrip("0").rstrip("."),
        "unit": unit_word(line.product, line.unit),
        "unit_price": plain(line.unit_price),
        "tax": _percent(line.tax_rate),
        "amount": figure(line.amount, currency),
    }


def _percent(rate: Decimal) -> str:
    return f"{plain(rate * 100)} %" if rate else "–"


def _sums(invoice: Invoice, lines: Sequence[InvoiceLine]) -> list[tuple[str, str]]:
    currency = invoice.currency
    rows = [(_("Subtotal"), shown(invoice.subtotal, currency))]
    if invoice.discount:
        rows.append((_("Granted credit"), shown(-invoice.discount, currency)))
    word = _("includes %(name)s %(rate)s %% of %(base)s") if invoice.snapshot["is_inclusive"] else ""
    for line in lines:
        if line.kind == "tax" and line.tax_name:
            words = {
                "name": line.tax_name,
                "rate": plain(line.tax_rate * 100),
                "base": shown(line.quantity, currency),
            }
            label = word or _("%(name)s %(rate)s %% on %(base)s")
            rows.append((label % words, shown(line.amount, currency)))
    return rows


def _print(template: str, words: dict[str, Any]) -> bytes:
    """Typesetting is loaded when the first document is wanted: few processes ever print."""
    typesetting = import_module("apps.invoicing.selectors.typesetting")
    sheet = render_to_string("invoicing/_paper.css")
    made: bytes = typesetting.print_html(render_to_string(template, words), sheet)
    return made


def _csv(columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: harmless(value) for name, value in row.items()})
    return out.getvalue().encode()


def _plain(value: Any) -> Any:
    return (plain(value) if value else "0") if isinstance(value, Decimal) else value
