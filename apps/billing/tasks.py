"""Billing's work that comes round; hints only make it sooner."""

from datetime import timedelta

from celery import shared_task

from apps.billing import reconcilers
from apps.billing.services import charges, dunning, fees, grants, mailing
from apps.operations.schedule import periodic


@shared_task(name="billing.cut_due", queue="billing", acks_late=True)
def cut_due_task(**_: object) -> None:
    reconcilers.cut_due()


@periodic("billing.cut", every=timedelta(seconds=5))
def cut() -> None:
    reconcilers.cut_due()


@periodic("billing.release", every=timedelta(seconds=10))
def release() -> None:
    reconcilers.release_expired()


@periodic("billing.rate", every=timedelta(seconds=5))
def rate() -> None:
    charges.rate_pending()


@periodic("billing.fees", every=timedelta(minutes=10))
def charge_fees() -> None:
    fees.charge_due()


@periodic("billing.alerts", every=timedelta(seconds=10))
def mail_alerts() -> None:
    mailing.mail_alerts()
    mailing.mail_notices()


@periodic("billing.dun", every=timedelta(minutes=1))
def dun() -> None:
    dunning.review()


@periodic("billing.expire", every=timedelta(minutes=10))
def expire_credit() -> None:
    grants.expire_due()


@periodic("billing.verify", every=timedelta(days=1), ttl=timedelta(hours=1))
def verify() -> None:
    reconcilers.prove_books()
