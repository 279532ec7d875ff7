"""Ending the work in hand: resizes, snapshots and restores, done or given up."""

from contextlib import suppress
from datetime import datetime
from typing import Any

from apps.core.clock import db_now
from apps.core.errors import NotFound
from apps.gpupools.errors import PoolExhausted
from apps.gpupools.services import exchange
from apps.gpupools.specs import Wanted
from apps.instances.models import Instance
from apps.instances.services import disks
from apps.instances.states import Work
from apps.storage.models import Snapshot
from apps.storage.states import SnapshotState


def wanted_of(instance: Instance, size: dict[str, Any]) -> Wanted:
    """The capacity of an instance of this size, where it is."""
    return Wanted(
        region_id=instance.region_id,
        vcpus=size["vcpus"],
        memory_mib=size["memory_mib"],
        disk_gib=size["disk_gib"],
        gpu_model_id=size.get("gpu_model_id"),
        gpus=instance.gpus,
    )


def fields_after(instance: Instance, work: Work, params: dict[str, Any]) -> dict[str, Any]:
    """What finished work changes on the row."""
    if work != Work.RESIZE:
        return {}
    new = params["new"]
    named = ("type_id", "vcpus", "memory_mib", "disk_gib", "rates", "rest_rates", "hourly")
    return {name: new[name] for name in named}


def conclude(
    instance: Instance, work: Work, params: dict[str, Any], *, size_bytes: int, now: datetime
) -> None:
    """What finished work changes elsewhere."""
    snapshot = Snapshot.objects.filter(pk=params.get("snapshot_id"))
    match work:
        case Work.RESIZE:
            fit(instance, params["new"], now)
            disks.grow(instance_id=str(instance.pk), size_gib=instance.disk_gib)
        case Work.SNAPSHOT:
            fresh = snapshot.filter(state=SnapshotState.CREATING)
            fresh.update(state=SnapshotState.AVAILABLE, size_bytes=size_bytes)
        case Work.UNSNAPSHOT:
            going = snapshot.filter(state=SnapshotState.DELETING)
            going.update(state=SnapshotState.DELETED, deleted_at=now)
        case Work.RESTORE:
            snapshot.filter(state=SnapshotState.RESTORING).update(state=SnapshotState.AVAILABLE)


def drop_work(instance: Instance, work: str, params: dict[str, Any]) -> None:
    """Undo what was set aside for work that is given up. Removing a snapshot is not undone: ask again."""
    snapshot = Snapshot.objects.filter(pk=params.get("snapshot_id"))
    match work:
        case Work.RESIZE:
            fit(instance, params["old"], db_now())
        case Work.SNAPSHOT:
            snapshot.filter(state=SnapshotState.CREATING).update(state=SnapshotState.FAILED)
        case Work.RESTORE:
            snapshot.filter(state=SnapshotState.RESTORING).update(state=SnapshotState.AVAILABLE)


def fit(instance: Instance, size: dict[str, Any], now: datetime) -> None:
    """Shrink what is reserved to the size that holds. On a node that takes nothing new just now the
    larger reservation stays: it is given back with the instance."""
    with suppress(PoolExhausted, NotFound):
        exchange.swap(holder_id=str(instance.pk), wanted=wanted_of(instance, size), now=now)
