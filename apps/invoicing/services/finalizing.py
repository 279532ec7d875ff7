"""Making a draft final: lines, tax, ledger, number and hash, in one transaction.

Locks are taken in this order: the invoice, the team's wallet, the entity's number sequence. The last is
held from the number to the commit, which is why numbers have no gaps; everything slow comes before it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Sum
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.billing.models import AccountKind, CreditGrant, Posting, TransactionKind, Wallet
from apps.billing.services import grants, posting
from apps.billing.services.posting import Entry
from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.core.errors import Conflict, NotFound
from apps.core.failpoints import failpoint
from apps.core.money import ZERO, plain, round_minor
from apps.core.permissions import Permission
from apps.core.queue import enqueue
from apps.invoicing import tax
from apps.invoicing.models import (
    BillingProfile,
    DocumentKind,
    DocumentSequence,
    Invoice,
    InvoiceLine,
    LegalEntity,
)
from apps.invoicing.selectors import collecting, content, parties
from apps.invoicing.signals import invoice_finalized, invoice_paid
from apps.invoicing.specs import GRACE, Line, Period, Sums, Usage, floor_minor
from apps.invoicing.states import INVOICE, InvoiceState
from apps.operations.services import emit

GRANTS = (TransactionKind.GRANT, TransactionKind.VOUCHER, TransactionKind.EXPIRY)


@dataclass(frozen=True, slots=True)
class Settlement:
    """How an invoice meets the team's balance. `taken` leaves it now, for tax and rounding;
    `uncollected` is usage that could not be paid when it happened."""

    taken: Decimal
    uncollected: Decimal
    due_receivable: Decimal
    due_balance: Decimal


@transaction.atomic
def finalize_invoice(*, actor: Actor, invoice_id: str, now: datetime | None = None) -> Invoice | None:
    """Give a draft its lines, sums and number; None when there is nothing to ask for and it is dropped.

    A draft that somebody else has, or that is final already, is left alone.
    """
    actor.require(Permission.BILLING_MANAGE)
    now = now or db_now()
    invoice = _take(invoice_id)
    if invoice is None or invoice.state != InvoiceState.DRAFT:
        return invoice
    if invoice.period_end + GRACE > now:
        raise Conflict(_("Usage of this period may still arrive."), code="grace_period")
    period = Period(invoice.period_start, invoice.period_end)
    usages = _claim(invoice, period)
    failpoint("invoicing.finalize.collected")
    if not usages:
        invoice.delete()
        return None
    profile = BillingProfile.objects.filter(team_id=invoice.team_id).first()
    buyer = profile or BillingProfile(name=invoice.team.name, country=invoice.entity.country)
    wallet = Wallet.objects.select_for_update().get(team_id=invoice.team_id)
    sums = _add_up(invoice, buyer, usages, now)
    settlement = _settle(invoice, wallet, sums)
    _post(invoice, sums, settlement, now)
    failpoint("invoicing.finalize.posted")
    _state(invoice, buyer, sums, settlement, now)
    lines = _write_lines(invoice, sums.lines)
    failpoint("invoicing.finalize.lines")
    _number(invoice, lines)
    failpoint("invoicing.finalize.numbered")
    _tell(actor, invoice)
    if not invoice.amount_due:
        mark_paid(invoice, now)
    return invoice


@transaction.atomic
def retry_invoice(*, actor: Actor, invoice_id: str) -> Invoice:
    """Try a parked draft again."""
    actor.require(Permission.BILLING_MANAGE)
    invoice: Invoice | None = Invoice.objects.select_for_update().filter(pk=invoice_id).first()
    if invoice is None:
        raise NotFound(_("There is no such invoice."))
    Invoice.objects.filter(pk=invoice_id, state=InvoiceState.DRAFT).update(parked_because="")
    audit.record(actor=actor, action="invoice.retried", target=invoice)
    enqueue("invoicing.advance")
    invoice.refresh_from_db()
    return invoice


def mark_paid(invoice: Invoice, now: datetime) -> None:
    """Nothing is left to pay. The caller holds the invoice's lock."""
    invoice.state = INVOICE.target("pay", invoice.state)
    invoice.paid_at = now
    invoice.save(update_fields=["state", "paid_at"])
    shown = {"number": invoice.number, "total": plain(invoice.total), "currency": invoice.currency}
    emit(type="invoice.paid", subject=invoice.pk, team_id=invoice.team_id, data=shown)
    invoice_paid.send(Invoice, invoice_id=invoice.pk)


def take_number(entity_id: str, kind: DocumentKind) -> tuple[int, str, DocumentSequence]:
    """The next serial, its text, and the sequence's locked row, whose hash the document continues."""
    sequence: Any = DocumentSequence.objects.select_for_update().get(entity_id=entity_id, kind=kind)
    prefix: str = LegalEntity.objects.values_list("number_prefix", flat=True).get(pk=entity_id)
    middle = "" if kind == DocumentKind.INVOICE else "C-"
    return sequence.next_number, f"{prefix}-{middle}{sequence.next_number:06d}", sequence


def follow(sequence: DocumentSequence, content_hash: str) -> None:
    """The document is the sequence's last one now."""
    sequence.next_number += 1
    sequence.last_hash = content_hash
    sequence.save(update_fields=["next_number", "last_hash"])


def _take(invoice_id: str) -> Invoice | None:
    rows = Invoice.objects.select_for_update(of=("self",), skip_locked=True).select_related("entity", "team")
    found: Invoice | None = rows.filter(pk=invoice_id).first()
    return found


def _claim(invoice: Invoice, period: Period) -> list[Usage]:
    """The usage that the invoice lists. When corrections give back more than was used, all of it waits for a
    period with usage that it can be set off against: nobody is asked for less than nothing."""
    with transaction.atomic():
        usages = collecting.collect(team_id=invoice.team_id, period=period, invoice_id=invoice.pk)
        is_owed = sum((usage.amount for usage in usages), ZERO) >= 0
        transaction.set_rollback(not is_owed)
    return usages if is_owed else []


def _add_up(invoice: Invoice, buyer: BillingProfile, usages: Any, now: datetime) -> Sums:
    where = tax.Parties(invoice.entity.country, buyer.country or invoice.entity.country, buyer.tax_id)
    rules = parties.tax_rules(where.buyer_country)
    last_day = (invoice.period_end - timedelta(microseconds=1)).astimezone(UTC).date()
    decisions = [tax.decide(where, usage.product, rules, last_day) for usage in usages]
    granted = floor_minor(granted_credit(invoice.team_id), invoice.currency)
    return tax.add_up(usages, decisions, invoice.currency, granted=granted)


def granted_credit(team_id: str) -> Decimal:
    """Credit that was given to the team and that no invoice has taken off yet."""
    given = _posted(team_id, account__kind=AccountKind.CUSTOMER, transaction__kind__in=GRANTS)
    known = Invoice.objects.final().exclude(state=InvoiceState.VOID).filter(team_id=team_id)
    rows = known.aggregate(s=Sum("discount"))
    return given - (rows["s"] or ZERO)


def _settle(invoice: Invoice, wallet: Wallet, sums: Sums) -> Settlement:
    surcharge, currency = sums.surcharge, invoice.currency
    taken = min(surcharge, max(wallet.available, ZERO)) if surcharge > 0 else surcharge
    missed = {"account__kind": AccountKind.UNCOLLECTED}
    earlier = _posted(invoice.team_id, **missed, transaction__booked_at__lt=invoice.period_end)
    moved = _posted(
        invoice.team_id,
        **missed,
        transaction__booked_at__gte=invoice.period_end,
        transaction__kind=TransactionKind.INVOICE,
    )
    unpaid = -(earlier + moved)
    uncollected = min(max(unpaid, ZERO), sums.total)
    receivable = max(min(round_minor(uncollected + surcharge - taken, currency), sums.total), ZERO)
    later = -_posted(
        invoice.team_id,
        account__kind=AccountKind.CUSTOMER,
        transaction__booked_at__gte=invoice.period_end,
        transaction__kind=TransactionKind.USAGE,
    )
    known = Invoice.objects.unpaid().filter(team_id=invoice.team_id).aggregate(s=Sum("due_balance"))["s"]
    below = -(wallet.balance - taken + later) - (known or ZERO)
    owed = round_minor(max(below, ZERO), currency)
    return Settlement(taken, uncollected, receivable, min(owed, sums.total - receivable))


def _posted(team_id: str, **which: Any) -> Decimal:
    rows = Posting.objects.filter(transaction__team_id=team_id, **which).order_by()
    found: Decimal | None = rows.aggregate(s=Sum("amount"))["s"]
    return found or ZERO


def _post(invoice: Invoice, sums: Sums, settlement: Settlement, now: datetime) -> None:
    """One transaction: tax and rounding, from the balance as far as it goes, else as receivable."""
    legs = {
        AccountKind.CUSTOMER: -settlement.taken,
        AccountKind.UNCOLLECTED: settlement.uncollected,
        AccountKind.RECEIVABLE: -settlement.due_receivable,
        AccountKind.TAX: sums.tax,
        AccountKind.REVENUE: -sums.tax if sums.is_inclusive else ZERO,
    }
    legs[AccountKind.ROUNDING] = -sum(legs.values(), ZERO)
    if not any(legs.values()):
        return
    about = _("Invoice for %(month)s") % {"month": f"{invoice.period_start:%Y-%m}"}
    entry = Entry(TransactionKind.INVOICE, str(invoice.pk), legs, about, now)
    invoice.transaction_id = posting.book(team_id=invoice.team_id, entry=entry, by="").transaction.pk


def _state(
    invoice: Invoice, buyer: BillingProfile, sums: Sums, settlement: Settlement, now: datetime
) -> None:
    """Write down what the invoice says, who sells and who buys as they are now."""
    entity = invoice.entity
    address = ("name", "street", "postal_code", "city", "country", "tax_id", "email")
    seller = {name: getattr(entity, name) for name in (*address, "registration", "bank_details")}
    customer = {name: getattr(buyer, name) for name in (*address, "reference")}
    notes = sorted({line.tax_note for line in sums.lines if line.tax_note})
    invoice.snapshot = {
        "seller": seller,
        "customer": customer | {"team": invoice.team_id, "team_name": invoice.team.name},
        "notes": notes,
        "is_inclusive": sums.is_inclusive,
        "credit": _credit_used(invoice),
    }
    invoice.subtotal, invoice.discount = sums.subtotal, sums.discount
    invoice.tax, invoice.total = sums.tax, sums.total
    invoice.due_receivable, invoice.due_balance = settlement.due_receivable, settlement.due_balance
    invoice.finalized_at = now
    invoice.due_at = now + timedelta(days=entity.payment_days)


def _credit_used(invoice: Invoice) -> list[dict[str, str]]:
    """What each grant paid of the period, as it is known now; for the reader, no sum rests on it."""
    used = grants.used(team_id=invoice.team_id, start=invoice.period_start, end=invoice.period_end)
    return [
        {"reason": grant.reason, "amount": plain(used[str(grant.pk)])}
        for grant in CreditGrant.objects.filter(pk__in=used)
    ]


def _write_lines(invoice: Invoice, lines: list[Line]) -> list[InvoiceLine]:
    rows = [
        InvoiceLine(
            invoice=invoice,
            team_id=invoice.team_id,
            position=position,
            kind=line.kind,
            description=line.description,
            product=line.product,
            unit=line.unit,
            quantity=line.quantity,
            unit_price=line.unit_price,
            workspace_id=line.workspace_id,
            workspace=line.workspace,
            rows=line.rows,
            exact=line.exact,
            amount=line.amount,
            tax_name=line.tax_name,
            tax_rate=line.tax_rate,
            tax_note=line.tax_note,
        )
        for position, line in enumerate(lines, start=1)
    ]
    made: list[InvoiceLine] = InvoiceLine.objects.bulk_create(rows, batch_size=500)
    return made


def _number(invoice: Invoice, lines: list[InvoiceLine]) -> None:
    invoice.serial, invoice.number, sequence = take_number(invoice.entity_id, DocumentKind.INVOICE)
    invoice.previous_hash = sequence.last_hash
    invoice.content_hash = content.hash_of(invoice, lines)
    invoice.state = INVOICE.target("finalize", invoice.state)
    invoice.parked_because = ""
    follow(sequence, invoice.content_hash)
    invoice.save()


def _tell(actor: Actor, invoice: Invoice) -> None:
    shown = {"number": invoice.number, "total": plain(invoice.total), "due": plain(invoice.amount_due)}
    audit.record(actor=actor, action="invoice.finalized", target=invoice, **shown)
    shown["currency"] = invoice.currency
    emit(type="invoice.finalized", subject=invoice.pk, team_id=invoice.team_id, data=shown)
    invoice_finalized.send(Invoice, invoice_id=invoice.pk)
    enqueue("invoicing.mail")
