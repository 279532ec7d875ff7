"""Mailing invoices and reminders, with the invoice as PDF."""

from django.db.models import Exists, OuterRef
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.core.failpoints import failpoint
from apps.core.leases import in_time
from apps.core.mailing import MAIL_WITHIN, Letter, mail_each
from apps.core.permissions import Permission
from apps.invoicing.models import BillingProfile, Invoice, Reminder
from apps.invoicing.selectors import paper, parties


def mail_invoices(*, actor: Actor) -> int:
    """Mail recent final invoices to the addresses of their teams' profiles; how many were sent."""
    actor.require(Permission.BILLING_MANAGE)
    addressed = BillingProfile.objects.filter(team_id=OuterRef("team_id")).exclude(email="")
    fresh = Invoice.objects.final().filter(sent_at=None, created_at__gte=in_time(-MAIL_WITHIN))
    waiting = fresh.filter(Exists(addressed)).order_by("finalized_at")
    return mail_each(waiting.select_related("team"), write=_invoice, note=_note_invoice)


def mail_reminders(*, actor: Actor) -> int:
    """Mail the reminders that were noted to whoever pays for the team; how many were sent."""
    actor.require(Permission.BILLING_MANAGE)
    waiting = Reminder.objects.filter(mailed_at=None, created_at__gte=in_time(-MAIL_WITHIN)).order_by("pk")
    return mail_each(waiting.select_related("invoice__team"), write=_reminder, note=_note_reminder)


def _invoice(invoice: Invoice) -> Letter:
    words = {"invoice": invoice, "team": invoice.team}
    subject = _("Invoice %(number)s") % {"number": invoice.number}
    body = render_to_string("emails/invoice.txt", words)
    to = parties.addresses(invoice.team_id)
    return Letter(f"invoice-{invoice.pk}", to, subject, body, [_attached(invoice)])


def _note_invoice(invoice: Invoice, _letter: Letter) -> None:
    Invoice.objects.filter(pk=invoice.pk).update(sent_at=db_now())


def _reminder(reminder: Reminder) -> Letter:
    invoice = reminder.invoice
    words = {"invoice": invoice, "team": invoice.team, "reminder": reminder}
    subject = _("Reminder: invoice %(number)s is overdue") % {"number": invoice.number}
    body = render_to_string("emails/reminder.txt", words)
    to = parties.addresses(reminder.team_id)
    return Letter(f"reminder-{reminder.pk}", to, subject, body, [_attached(invoice)])


def _note_reminder(reminder: Reminder, letter: Letter) -> None:
    failpoint("invoicing.remind.mailed")
    reminder.mailed_at, reminder.mailed_to = db_now(), ", ".join(letter.to)[:300]
    reminder.save(update_fields=["mailed_at", "mailed_to"])


def _attached(invoice: Invoice) -> tuple[str, bytes, str]:
    return f"{invoice.number}.pdf", paper.pdf(invoice), "application/pdf"
