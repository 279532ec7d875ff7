"""Celery's and the poller's way to the reconcilers."""

from datetime import timedelta

from celery import shared_task

from apps.operations.schedule import periodic
from apps.registry import reconcilers


@shared_task(name="registry.reconcile", queue="inference", acks_late=True)
def reconcile(*, version_id: str, **_: object) -> None:
    reconcilers.reconcile_version(version_id=version_id)


# Workers are hinted; what no hint brought is found here. Rows have leases of their own.
@periodic("registry.due", every=timedelta(seconds=5), ttl=timedelta(seconds=30))
def sweep_due() -> None:
    reconcilers.reconcile_due()


@periodic("registry.litter", every=timedelta(hours=1), ttl=timedelta(minutes=30))
def sweep_litter() -> None:
    reconcilers.sweep_litter()
