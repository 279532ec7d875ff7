"""Celery's and the poller's way to the reconcilers."""

from datetime import timedelta

from celery import shared_task

from apps.inference import reconcilers
from apps.inference.services import logs
from apps.operations.schedule import periodic


@shared_task(name="inference.reconcile", queue="inference", acks_late=True)
def reconcile(*, replica_id: str, **_: object) -> None:
    reconcilers.reconcile_replica(replica_id=replica_id)


@shared_task(name="inference.steer", queue="inference", acks_late=True)
def steer(*, endpoint_id: str, **_: object) -> None:
    reconcilers.steer_endpoint(endpoint_id=endpoint_id)


@shared_task(name="inference.read_log", queue="inference", acks_late=True)
def read_log(*, replica_id: str, **_: object) -> None:
    reconcilers.read_log(replica_id=replica_id)


# Rows have leases of their own: a poller that died must not keep the next one from looking.
@periodic("inference.due", every=timedelta(seconds=0.5), ttl=timedelta(seconds=5))
def sweep_due() -> None:
    reconcilers.reconcile_due()


@periodic("inference.steering", every=timedelta(seconds=1), ttl=timedelta(seconds=5))
def steer_due() -> None:
    reconcilers.steer_due()


@periodic("inference.watch", every=timedelta(seconds=5), ttl=timedelta(seconds=30))
def watch() -> None:
    reconcilers.watch_replicas()


@periodic("inference.catch_up", every=timedelta(seconds=30), ttl=timedelta(seconds=30))
def catch_up() -> None:
    reconcilers.catch_up()


@periodic("inference.providers", every=timedelta(seconds=30), ttl=timedelta(seconds=30))
def watch_providers() -> None:
    reconcilers.watch_providers()


@periodic("inference.logs", every=timedelta(seconds=2), ttl=timedelta(seconds=15))
def read_asked() -> None:
    reconcilers.read_asked()


@periodic("inference.forget", every=timedelta(hours=1))
def forget() -> None:
    logs.forget_logs()


@periodic("inference.strays", every=timedelta(minutes=5), ttl=timedelta(minutes=5))
def sweep_strays() -> None:
    reconcilers.sweep_clusters()
