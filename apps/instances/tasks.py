"""Celery's and the poller's way to the reconcilers."""

from datetime import timedelta

from celery import shared_task

from apps.instances import reconcilers, services
from apps.instances.services import measuring, watching
from apps.operations.schedule import periodic


@shared_task(name="instances.reconcile", queue="provision", acks_late=True)
def reconcile(*, instance_id: str, **_: object) -> None:
    reconcilers.reconcile_instance(instance_id=instance_id)


# Rows have leases of their own: a poller that died must not keep the next one from looking.
@periodic("instances.due", every=timedelta(seconds=0.5), ttl=timedelta(seconds=5))
def sweep_due() -> None:
    reconcilers.reconcile_due()


@periodic("instances.watch", every=timedelta(seconds=14), ttl=timedelta(seconds=30))
def watch() -> None:
    reconcilers.watch_clusters()


@periodic("instances.strays", every=timedelta(minutes=5), ttl=timedelta(minutes=5))
def sweep_strays() -> None:
    reconcilers.sweep_clusters()


@periodic("instances.drains", every=timedelta(seconds=5), ttl=timedelta(seconds=15))
def clear_draining() -> None:
    reconcilers.clear_draining()


@periodic("instances.forget", every=timedelta(minutes=10))
def forget() -> None:
    services.forget_tickets()
    measuring.sum_up()  # before what it is made of is thinned
    watching.thin_samples()
