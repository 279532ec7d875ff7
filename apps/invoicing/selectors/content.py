"""What an invoice says, as one value: for its hash, its files and its page. Read back from the rows."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from apps.invoicing.models import CreditNote, Invoice, InvoiceLine
from apps.invoicing.specs import canonical, chained_hash

_LINE = (
    "position", "kind", "description", "product", "unit", "quantity", "unit_price", "workspace_id",
    "workspace", "rows", "exact", "amount", "tax_name", "tax_rate", "tax_note",
)  # fmt: skip
_SUMS = ("currency", "subtotal", "discount", "tax", "total", "due_receivable", "due_balance")


def content_of(invoice: Invoice, lines: Iterable[InvoiceLine]) -> dict[str, Any]:
    """Everything the invoice states. What it is paid by later is no part of it."""
    return {
        "number": invoice.number,
        "issued_on": _day(invoice.finalized_at),
        "due_on": _day(invoice.due_at),
        "period": [invoice.period_start, invoice.period_end],
        "parties": invoice.snapshot,
        "sums": {name: getattr(invoice, name) for name in _SUMS},
        "lines": [{name: getattr(line, name) for name in _LINE} for line in lines],
    }


def hash_of(invoice: Invoice, lines: Iterable[InvoiceLine]) -> str:
    """The hash that the invoice must carry."""
    return chained_hash(invoice.previous_hash, content_of(invoice, lines))


def credit_used(invoice: Invoice) -> list[tuple[str, Decimal]]:
    """What each grant of credit paid of the period; invoices made before this was kept say nothing."""
    return [(one["reason"], Decimal(one["amount"])) for one in invoice.snapshot.get("credit", [])]


def as_json(invoice: Invoice, lines: Iterable[InvoiceLine]) -> bytes:
    """The invoice as a file; with its hash and the one before, so that it can be checked alone."""
    content = content_of(invoice, lines)
    content["hash"] = {"this": invoice.content_hash, "previous": invoice.previous_hash}
    return canonical(content)


def note_content(note: CreditNote) -> dict[str, Any]:
    """Everything a credit note states."""
    return {
        "number": note.number,
        "issued_on": _day(note.issued_at),
        "invoice": note.invoice.number,
        "reason": note.reason,
        "parties": note.snapshot,
        "currency": note.currency,
        "lines": note.lines,
        "sums": {"net": note.net, "tax": note.tax, "total": note.total, "to_balance": note.to_balance},
    }


def note_hash(note: CreditNote) -> str:
    return chained_hash(note.previous_hash, note_content(note))


def _day(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d}" if moment else ""
