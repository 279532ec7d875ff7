"""Celery's and the poller's way to the reconcilers."""

from datetime import timedelta

from celery import shared_task

from apps.nodes import reconcilers
from apps.operations.schedule import periodic


@shared_task(name="nodes.sync_cluster", queue="provision", acks_late=True)
def sync_cluster(*, cluster_id: str, **_: object) -> None:
    reconcilers.sync_cluster(cluster_id=cluster_id)


@shared_task(name="nodes.finish_drains", queue="provision", acks_late=True)
def finish_drains(**_: object) -> None:
    reconcilers.finish_drains()


@periodic("nodes.sync_clusters", every=reconcilers.EVERY / 2)
def sync_clusters() -> None:
    reconcilers.sync_due()


@periodic("nodes.finish_drains", every=reconcilers.EVERY / 2)
def sweep_drains() -> None:
    reconcilers.finish_drains()


@periodic("nodes.forget_samples", every=timedelta(hours=1))
def forget_samples() -> None:
    reconcilers.forget_samples()
