"""Machines in a listing that no live row owns: seen once, noted; seen again long enough after, removed."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from apps.instances.models import PREFIX, Instance, Stray
from apps.operations import services as operations
from apps.regions.models import Cluster

WAIT = timedelta(minutes=5)
ENGINES = f"{PREFIX}rep_"


@transaction.atomic
def note_strays(
    *, cluster: Cluster, names: Iterable[str], now: datetime, are_engines: bool = False
) -> list[str]:
    """Remember who is nobody's; returns those that have been for five minutes and may be removed.

    One that is not in this listing is forgotten: it must be seen twice anew. Engines and machines are
    listed apart.
    """
    listed = set(names)
    engines = Q(name__startswith=ENGINES)
    rows = Stray.objects.filter(engines if are_engines else ~engines, cluster=cluster)
    rows.exclude(name__in=listed).delete()
    known = {stray.name: stray for stray in rows.select_for_update()}
    Stray.objects.bulk_create(
        [
            Stray(cluster=cluster, name=name, first_seen_at=now, last_seen_at=now)
            for name in listed - set(known)
        ],
        ignore_conflicts=True,
    )
    Stray.objects.filter(cluster=cluster, name__in=listed).update(last_seen_at=now)
    return sorted(name for name, stray in known.items() if now - stray.first_seen_at >= WAIT)


@transaction.atomic
def note_removed(*, cluster: Cluster, name: str, now: datetime) -> None:
    """A stray was told to go; it stays noted until no listing shows it."""
    Stray.objects.filter(cluster=cluster, name=name).update(deleted_at=now)
    operations.emit(
        type="instance.stray_removed", subject=name[:40], region_id=cluster.region_id, data={"name": name}
    )


def owned_names(*, cluster: Cluster) -> set[str]:
    """The names of all machines that may be on the cluster by right."""
    rows = Instance.objects.filter(cluster=cluster).placed()
    return {row.machine_name for row in rows.only("pk")}
