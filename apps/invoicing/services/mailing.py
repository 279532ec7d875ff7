"""Mailing invoices and reminders, each once.

A message has an id of its own: should the process die between sending and noting it, the repeat carries the
same id and mail systems show it once. What cannot be delivered is given up after a week.
"""

from typing import Any

import structlog
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from apps.billing.specs import MAIL_WITHIN
from apps.core import statements
from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.core.failpoints import failpoint
from apps.core.permissions import Permission
from apps.invoicing.models import BillingProfile, Invoice, Reminder
from apps.invoicing.selectors import paper, parties

log = structlog.get_logger(__name__)

MAILS = 50

# Whoever mails an invoice has this to himself, and not the row: it can be paid meanwhile.
_ALONE = "SELECT pg_try_advisory_xact_lock(hashtextextended('hostedai.invoice_mail.' || %s, 0))"


def mail_invoices(*, actor: Actor) -> int:
    """Mail recent final invoices to the addresses of their teams' profiles; how many were sent."""
    actor.require(Permission.BILLING_MANAGE)
    addressed = BillingProfile.objects.filter(team_id=OuterRef("team_id")).exclude(email="")
    fresh = Invoice.objects.final().filter(sent_at=None, created_at__gte=db_now() - MAIL_WITHIN)
    rows = fresh.filter(Exists(addressed)).order_by("finalized_at")
    return sum(_mail_invoice(pk) for pk in rows.values_list("pk", flat=True)[:MAILS])


def mail_reminders(*, actor: Actor) -> int:
    """Mail the reminders that were noted to whoever pays for the team; how many were sent."""
    actor.require(Permission.BILLING_MANAGE)
    rows = Reminder.objects.filter(mailed_at=None, created_at__gte=db_now() - MAIL_WITHIN).order_by("pk")
    return sum(_mail_reminder(pk) for pk in rows.values_list("pk", flat=True)[:MAILS])


@transaction.atomic
def _mail_invoice(pk: str) -> bool:
    is_mine = statements.fetch_one(_ALONE, [pk])[0]
    fresh = Invoice.objects.select_related("team").filter(pk=pk, sent_at=None)
    invoice: Invoice | None = fresh.first() if is_mine else None
    if invoice is None:
        return False
    words = {"invoice": invoice, "team": invoice.team}
    subject = _("Invoice %(number)s") % {"number": invoice.number}
    body = render_to_string("emails/invoice.txt", words)
    if not _send(invoice, subject, body, parties.addresses(invoice.team_id), f"invoice-{invoice.pk}"):
        return False
    Invoice.objects.filter(pk=pk).update(sent_at=db_now())
    return True


@transaction.atomic
def _mail_reminder(pk: str) -> bool:
    rows = Reminder.objects.select_for_update(of=("self",), skip_locked=True)
    reminder: Any = rows.select_related("invoice__team").filter(pk=pk, mailed_at=None).first()
    if reminder is None:
        return False
    invoice, to = reminder.invoice, parties.addresses(reminder.team_id)
    words = {"invoice": invoice, "team": invoice.team, "reminder": reminder}
    subject = _("Reminder: invoice %(number)s is overdue") % {"number": invoice.number}
    body = render_to_string("emails/reminder.txt", words)
    if to and not _send(invoice, subject, body, to, f"reminder-{reminder.pk}"):
        return False
    failpoint("invoicing.remind.mailed")
    reminder.mailed_at, reminder.mailed_to = db_now(), ", ".join(to)[:300]
    reminder.save(update_fields=["mailed_at", "mailed_to"])
    return bool(to)


def _send(invoice: Invoice, subject: str, body: str, to: list[str], name: str) -> bool:
    """Whether the mail went out, with the invoice as PDF."""
    mail = EmailMessage(subject, body, None, to, headers={"Message-ID": f"<{name}@hostedai>"})
    mail.attach(f"{invoice.number}.pdf", paper.pdf(invoice), "application/pdf")
    try:
        mail.send()
    except OSError as error:  # SMTPException is one
        log.warning("invoice_not_mailed", invoice=invoice.pk, error=str(error))
        return False
    return True
