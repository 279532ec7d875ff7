"""Reminding of invoices that are overdue: each level once, whoever looks and however often."""

from datetime import datetime

from django.db import transaction
from django.db.models import Max

from apps.audit import services as audit
from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.core.failpoints import failpoint
from apps.core.money import plain
from apps.core.permissions import Permission
from apps.invoicing.models import Invoice, Reminder
from apps.invoicing.specs import overdue_level
from apps.invoicing.states import InvoiceState
from apps.operations.services import emit


@transaction.atomic
def remind(*, actor: Actor, invoice_id: str, now: datetime | None = None) -> Reminder | None:
    """Note the level that an open invoice has reached, with its event; None when there is nothing new.

    Levels that went by unnoticed are left out: nobody gets two letters at once.
    """
    actor.require(Permission.BILLING_MANAGE)
    rows = Invoice.objects.select_for_update(of=("self",), skip_locked=True)
    invoice: Invoice | None = rows.filter(pk=invoice_id, state=InvoiceState.OPEN).first()
    if invoice is None or invoice.due_at is None or not invoice.amount_due:
        return None
    level = overdue_level(invoice.due_at, now or db_now())
    if level <= (Reminder.objects.filter(invoice=invoice).aggregate(m=Max("level"))["m"] or 0):
        return None
    made: Reminder = Reminder.objects.create(
        invoice=invoice,
        team_id=invoice.team_id,
        level=level,
        currency=invoice.currency,
        amount_due=invoice.amount_due,
    )
    failpoint("invoicing.remind.noted")
    shown = {"number": invoice.number, "level": str(level), "due": plain(invoice.amount_due)}
    audit.record(actor=actor, action="invoice.reminded", target=invoice, **shown)
    shown["currency"] = invoice.currency
    emit(type="invoice.reminded", subject=invoice.pk, team_id=invoice.team_id, data=shown)
    return made
