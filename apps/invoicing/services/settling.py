"""What happens to an invoice after it was issued: it is paid, paid from the balance, or given up."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.billing.models import AccountKind, Transaction, TransactionKind, Wallet
from apps.billing.services import posting
from apps.billing.services.posting import Entry
from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.core.errors import Conflict, NotFound
from apps.core.ids import encode
from apps.core.money import ZERO, plain
from apps.core.permissions import Permission
from apps.invoicing.models import Invoice
from apps.invoicing.services.finalizing import mark_paid
from apps.invoicing.states import INVOICE, InvoiceState
from apps.operations.services import emit

PAYABLE = (InvoiceState.OPEN, InvoiceState.UNCOLLECTIBLE)


@dataclass(frozen=True, slots=True)
class Received:
    """Money that came in for an invoice: `key` names it for good, `account` is where it lies."""

    key: str
    amount: Decimal
    account: AccountKind
    at: datetime
    description: str = ""


@transaction.atomic
def book_payment(*, actor: Actor, invoice_id: str, received: Received) -> str:
    """Book money for an invoice, once per key; what it is more than is owed goes to the balance.

    Returns the id of the ledger transaction.
    """
    actor.require(Permission.BILLING_MANAGE)
    invoice = _lock(invoice_id)
    known = posting.transaction_id(TransactionKind.PAYMENT, invoice.team_id, received.key)
    if Transaction.objects.filter(pk=encode("ltx", known)).exists():
        return encode("ltx", known)
    due = min(received.amount, invoice.amount_due)
    was_given_up = invoice.state == InvoiceState.UNCOLLECTIBLE
    legs = {
        received.account: -received.amount,
        AccountKind.RECEIVABLE: ZERO if was_given_up else min(invoice.receivable_left, due),
        AccountKind.BAD_DEBT: due if was_given_up else ZERO,
    }
    legs[AccountKind.CUSTOMER] = -sum(legs.values(), ZERO)
    entry = Entry(TransactionKind.PAYMENT, received.key, legs, received.description, received.at)
    booked = posting.book(team_id=invoice.team_id, entry=entry, by=actor.label)
    _reduce(invoice, due, received.at)
    audit.record(actor=actor, action="invoice.payment", target=invoice, amount=plain(received.amount))
    made: str = booked.transaction.pk
    return made


@transaction.atomic
def settle_from_balance(*, actor: Actor, invoice_id: str) -> bool:
    """Pay an open invoice from the team's balance when that covers it; False when it does not."""
    actor.require(Permission.BILLING_MANAGE)
    invoice = _lock(invoice_id)
    if invoice.state != InvoiceState.OPEN:
        return False
    wallet: Any = Wallet.objects.select_for_update().get(team_id=invoice.team_id)
    needed = invoice.receivable_left
    if wallet.balance - wallet.held < needed:
        return False
    now = db_now()
    if needed:
        legs = {AccountKind.CUSTOMER: -needed, AccountKind.RECEIVABLE: needed}
        about = _("Invoice %(number)s, from the balance") % {"number": invoice.number}
        entry = Entry(TransactionKind.PAYMENT, str(invoice.pk), legs, about, now)
        posting.book(team_id=invoice.team_id, entry=entry, by=actor.label)
    _reduce(invoice, invoice.amount_due, now)
    audit.record(actor=actor, action="invoice.settled", target=invoice, from_balance=plain(needed))
    return True


@transaction.atomic
def give_up_invoice(*, actor: Actor, invoice_id: str) -> Invoice:
    """Write off what is still owed; should it be paid after all, that is booked against the loss."""
    actor.require(Permission.WALLET_CREDIT)
    invoice = _lock(invoice_id)
    owed, receivable = invoice.amount_due, invoice.receivable_left
    invoice.state = INVOICE.target("give_up", invoice.state)
    legs = {
        AccountKind.RECEIVABLE: receivable,
        AccountKind.CUSTOMER: owed - receivable,
        AccountKind.BAD_DEBT: -owed,
    }
    entry = Entry(TransactionKind.WRITE_OFF, str(invoice.pk), legs, _("Invoice given up"))
    posting.book(team_id=invoice.team_id, entry=entry, by=actor.label)
    invoice.save(update_fields=["state"])
    audit.record(actor=actor, action="invoice.given_up", target=invoice, amount=plain(owed))
    shown = {"number": invoice.number, "amount": plain(owed), "currency": invoice.currency}
    emit(type="invoice.given_up", subject=invoice.pk, team_id=invoice.team_id, data=shown)
    return invoice


def _reduce(invoice: Invoice, amount: Decimal, now: datetime) -> None:
    if amount:
        invoice.amount_paid += amount
        invoice.save(update_fields=["amount_paid"])
    if invoice.state in PAYABLE and not invoice.amount_due:
        mark_paid(invoice, now)


def _lock(invoice_id: str) -> Invoice:
    found: Invoice | None = Invoice.objects.select_for_update().filter(pk=invoice_id).first()
    if found is None:
        raise NotFound(_("There is no such invoice."))
    if found.state == InvoiceState.DRAFT:
        raise Conflict(_("This invoice has no number yet."), code="invoice_not_final")
    return found
