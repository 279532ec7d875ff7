"""Payments' work that comes round; hints only make it sooner."""

from datetime import timedelta

from celery import shared_task

from apps.operations.schedule import periodic
from apps.payments import reconcilers


@shared_task(name="payments.reconcile", queue="billing", acks_late=True)
def reconcile(*, payment_id: str, **_: object) -> None:
    reconcilers.reconcile_payment(payment_id=payment_id)


@shared_task(name="payments.refund", queue="billing", acks_late=True)
def refund(*, refund_id: str, **_: object) -> None:
    reconcilers.reconcile_refund(refund_id=refund_id)


@shared_task(name="payments.customer", queue="billing", acks_late=True)
def customer(*, customer_id: str, **_: object) -> None:
    reconcilers.reconcile_customer(customer_id=customer_id)


@shared_task(name="payments.message", queue="billing", acks_late=True)
def message(*, message_id: str, **_: object) -> None:
    reconcilers.process_message(message_id=message_id)


@shared_task(name="payments.detach", queue="billing", acks_late=True)
def detach(**_: object) -> None:
    reconcilers.detach_removed()


@periodic("payments.due", every=timedelta(seconds=5), ttl=timedelta(minutes=5))
def due() -> None:
    reconcilers.reconcile_due()


@periodic("payments.auto", every=timedelta(seconds=15))
def auto() -> None:
    reconcilers.top_up_low()


@periodic("payments.detach_removed", every=timedelta(minutes=5))
def detach_removed() -> None:
    reconcilers.detach_removed()


@periodic("payments.books", every=timedelta(hours=6), ttl=timedelta(minutes=30))
def books() -> None:
    reconcilers.reconcile_books()
