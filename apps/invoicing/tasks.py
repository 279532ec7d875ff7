"""Invoicing's work that comes round; hints only make it sooner."""

from datetime import timedelta

from celery import shared_task

from apps.core.actor import SYSTEM
from apps.invoicing import reconcilers
from apps.invoicing.services import mailing
from apps.operations.schedule import periodic


@shared_task(name="invoicing.advance", queue="billing", acks_late=True)
def advance_task(**_: object) -> None:
    reconcilers.advance_runs()


@shared_task(name="invoicing.mail", queue="default", acks_late=True)
def mail_task(**_: object) -> None:
    mailing.mail_invoices(actor=SYSTEM)


@periodic("invoicing.month", every=timedelta(minutes=10))
def month() -> None:
    reconcilers.begin_month()


@periodic("invoicing.runs", every=timedelta(seconds=20), ttl=timedelta(minutes=10))
def runs() -> None:
    reconcilers.advance_runs()


@periodic("invoicing.settle", every=timedelta(minutes=1))
def settle() -> None:
    reconcilers.settle_open()


@periodic("invoicing.mail_due", every=timedelta(seconds=30), ttl=timedelta(minutes=5))
def mail() -> None:
    mailing.mail_invoices(actor=SYSTEM)
    mailing.mail_reminders(actor=SYSTEM)


@periodic("invoicing.remind", every=timedelta(minutes=10))
def remind() -> None:
    reconcilers.remind_due()


@shared_task(name="invoicing.settle", queue="billing", acks_late=True)
def settle_task(**_: object) -> None:
    reconcilers.settle_open()
