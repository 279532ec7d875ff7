"""Correcting a final invoice: a numbered document that takes some of it back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Sum
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.billing.models import AccountKind, TransactionKind
from apps.billing.services import posting
from apps.billing.services.posting import Entry
from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.core.errors import Conflict, Invalid, NotFound
from apps.core.failpoints import failpoint
from apps.core.ids import new_id
from apps.core.money import ZERO, plain, round_minor
from apps.core.permissions import Permission
from apps.core.queue import enqueue
from apps.invoicing.errors import TooMuch
from apps.invoicing.models import CreditNote, DocumentKind, Invoice, InvoiceLine
from apps.invoicing.selectors import content
from apps.invoicing.selectors.invoices import credited_by_line
from apps.invoicing.services.finalizing import follow, mark_paid, take_number
from apps.invoicing.states import INVOICE, InvoiceState, LineKind
from apps.operations.services import emit

CREDITABLE = (LineKind.USAGE, LineKind.PRIOR_PERIOD, LineKind.FEE)


@dataclass(frozen=True, slots=True)
class CreditWish:
    """What to take back: by line (position: amount as the line shows it), and why."""

    amounts: Mapping[int, Decimal]
    reason: str
    reference: str = ""


@dataclass(slots=True)
class _Note:
    """A credit note as it is being made."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    net: Decimal = ZERO
    tax: Decimal = ZERO
    total: Decimal = ZERO
    granted: Decimal = ZERO  # credit that is given again beyond the total


@transaction.atomic
def credit_invoice(*, actor: Actor, invoice_id: str, wish: CreditWish) -> CreditNote:
    """Take back parts of lines with their tax: off what is still owed first, then to the balance.

    The same reference on the same invoice again changes nothing.
    """
    actor.require(Permission.WALLET_CREDIT)
    invoice = _lock(invoice_id)
    known = _known(invoice, wish)
    if known is not None:
        return known
    if invoice.state == InvoiceState.VOID:
        raise Conflict(_("Nothing is left of a void invoice."), code="illegal_transition")
    note = _reckon(invoice, wish)
    left = invoice.total - _credited(invoice, "total")
    if note.total > left:
        raise TooMuch(_("At most %(left)s is left of this invoice.") % {"left": plain(left)}, field="amount")
    made = _issue(actor, invoice, note, wish)
    if invoice.state in (InvoiceState.OPEN, InvoiceState.UNCOLLECTIBLE) and not invoice.amount_due:
        mark_paid(invoice, made.issued_at)
    return made


@transaction.atomic
def void_invoice(*, actor: Actor, invoice_id: str, reason: str) -> CreditNote:
    """Take back all that is left of an unpaid invoice; granted credit that it used is given again."""
    actor.require(Permission.WALLET_CREDIT)
    invoice = _lock(invoice_id)
    state = INVOICE.target("void", invoice.state)
    wish = CreditWish({}, reason, reference="void")
    note = _rest(invoice)
    if note.total <= 0:
        raise TooMuch(_("Nothing is left of this invoice."))
    made = _issue(actor, invoice, note, wish)
    invoice.state = state
    invoice.save(update_fields=["state"])
    data = {"number": invoice.number, "credit_note": made.number}
    emit(type="invoice.voided", subject=invoice.pk, team_id=invoice.team_id, data=data)
    return made


def _lock(invoice_id: str) -> Invoice:
    rows = Invoice.objects.select_for_update(of=("self",)).select_related("entity")
    found: Invoice | None = rows.filter(pk=invoice_id).first()
    if found is None:
        raise NotFound(_("There is no such invoice."))
    if found.state == InvoiceState.DRAFT:
        raise Conflict(_("This invoice has no number yet."), code="invoice_not_final")
    return found


def _known(invoice: Invoice, wish: CreditWish) -> CreditNote | None:
    if not wish.reference:
        return None
    found: CreditNote | None = invoice.credit_notes.filter(reference=wish.reference).first()
    return found


def _credited(invoice: Invoice, name: str) -> Decimal:
    found: Decimal | None = invoice.credit_notes.aggregate(s=Sum(name))["s"]
    return found or ZERO


def _reckon(invoice: Invoice, wish: CreditWish) -> _Note:
    lines = {line.position: line for line in invoice.lines.filter(kind__in=CREDITABLE)}
    before, note = credited_by_line(invoice), _Note()
    by_rate: dict[Decimal, Decimal] = {}
    if not wish.amounts:
        raise Invalid(_("Say which lines to take back."), field="amounts")
    for position, amount in sorted(wish.amounts.items()):
        line = lines.get(position)
        if line is None:
            raise Invalid(_("There is no such line."), field="amounts")
        _check(invoice, line, amount, before.get(position, ZERO))
        note.lines.append(_as_line(line, amount))
        by_rate[line.tax_rate] = by_rate.get(line.tax_rate, ZERO) + amount
    is_inclusive = invoice.snapshot["is_inclusive"]
    gross = sum(by_rate.values(), ZERO)
    for rate, amount in by_rate.items():
        share = rate / (1 + rate) if is_inclusive else rate
        note.tax += round_minor(amount * share, invoice.currency)
    note.net = gross - note.tax if is_inclusive else gross
    note.total = note.net + note.tax
    return note


def _check(invoice: Invoice, line: InvoiceLine, amount: Decimal, before: Decimal) -> None:
    if not amount.is_finite() or amount <= 0 or amount != round_minor(amount, invoice.currency):
        raise Invalid(_("The amount must be positive, in whole minor units."), field="amount")
    if amount > line.amount - before:
        raise TooMuch(
            _("At most %(left)s is left of this line.") % {"left": plain(line.amount - before)},
            field="amount",
        )


def _as_line(line: InvoiceLine, amount: Decimal) -> dict[str, Any]:
    return {
        "position": line.position,
        "product": line.product,
        "workspace": line.workspace,
        "amount": plain(amount),
        "tax_rate": plain(line.tax_rate),
    }


def _rest(invoice: Invoice) -> _Note:
    """All that earlier notes have left, with the tax that is left."""
    before, note = credited_by_line(invoice), _Note(granted=invoice.discount)
    for line in invoice.lines.filter(kind__in=CREDITABLE):
        left = line.amount - before.get(line.position, ZERO)
        if left:
            note.lines.append(_as_line(line, left))
    note.tax = invoice.tax - _credited(invoice, "tax")
    note.total = invoice.total - _credited(invoice, "total")
    note.net = note.total - note.tax
    return note


def _issue(actor: Actor, invoice: Invoice, note: _Note, wish: CreditWish) -> CreditNote:
    now, made_id = db_now(), new_id("crn")
    off = min(note.total, invoice.amount_due)
    to_balance = note.total - off + note.granted
    tx = _post(actor, invoice, note, off, made_id)
    invoice.amount_credited += off
    invoice.save(update_fields=["amount_credited"])
    failpoint("invoicing.credit.posted")
    serial, number, sequence = take_number(invoice.entity_id, DocumentKind.CREDIT_NOTE)
    made = CreditNote(
        pk=made_id,
        invoice=invoice,
        entity_id=invoice.entity_id,
        team_id=invoice.team_id,
        serial=serial,
        number=number,
        reason=wish.reason[:200],
        reference=wish.reference[:80],
        currency=invoice.currency,
        lines=note.lines,
        net=note.net,
        tax=note.tax,
        total=note.total,
        to_balance=to_balance,
        snapshot=invoice.snapshot,
        previous_hash=sequence.last_hash,
        transaction_id=tx,
        created_by=actor.label[:200],
        issued_at=now,
    )
    made.content_hash = content.note_hash(made)
    made.save(force_insert=True)
    follow(sequence, made.content_hash)
    shown = {"number": number, "total": plain(note.total), "invoice": invoice.number}
    audit.record(actor=actor, action="credit_note.issued", target=made, **shown)
    shown["currency"] = invoice.currency
    emit(type="invoice.credited", subject=invoice.pk, team_id=invoice.team_id, data=shown)
    enqueue("invoicing.mail")
    return made


def _post(actor: Actor, invoice: Invoice, note: _Note, off: Decimal, made_id: str) -> str:
    """Income and tax go back: to the receivables or the loss, to a balance below zero, to the balance."""
    was_given_up = invoice.state == InvoiceState.UNCOLLECTIBLE
    legs = {
        AccountKind.CREDITED: -(note.net + note.granted),
        AccountKind.TAX: -note.tax,
        AccountKind.RECEIVABLE: ZERO if was_given_up else min(invoice.receivable_left, off),
        AccountKind.BAD_DEBT: off if was_given_up else ZERO,
    }
    legs[AccountKind.CUSTOMER] = -sum(legs.values(), ZERO)
    about = _("Credit note for %(number)s") % {"number": invoice.number}
    entry = Entry(TransactionKind.CREDIT_NOTE, made_id, legs, about)
    made: str = posting.book(team_id=invoice.team_id, entry=entry, by=actor.label).transaction.pk
    return made
