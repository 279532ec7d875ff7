"""The root disk of an instance and its snapshots, as rows of storage."""

from datetime import datetime

from apps.core import statements
from apps.core.ids import decode
from apps.instances.models import Instance
from apps.storage.models import Snapshot, Volume
from apps.storage.states import SnapshotState, VolumeState

_ATTACH = "UPDATE storage_volume SET state = %s WHERE instance_id = %s AND state = ANY(%s)"


def make_root(instance: Instance) -> Volume:
    """The row of the root disk, before the disk is there."""
    root = Volume(
        team_id=instance.team_id,
        workspace_id=instance.workspace_id,
        region_id=instance.region_id,
        instance_id=instance.pk,
        name=f"{instance.name}-root",
        size_gib=instance.disk_gib,
    )
    statements.insert(root)
    return root


def attach(*, instance_id: str) -> None:
    """The machine runs on it."""
    fresh = [VolumeState.CREATING, VolumeState.AVAILABLE]
    statements.run(_ATTACH, [VolumeState.IN_USE.value, decode("ins", instance_id), [*map(str, fresh)]])


def grow(*, instance_id: str, size_gib: int) -> None:
    Volume.objects.filter(instance_id=instance_id).live().update(size_gib=size_gib)


def vanish(*, instance_id: str, now: datetime) -> None:
    """The machine is proven gone, and with it all its disks."""
    volumes = Volume.objects.filter(instance_id=instance_id)
    snapshots = Snapshot.objects.filter(instance_id=instance_id)
    volumes.live().exclude(state=VolumeState.DELETING).update(state=VolumeState.DELETING)
    volumes.filter(state=VolumeState.DELETING).update(state=VolumeState.DELETED, deleted_at=now)
    snapshots.live().exclude(state=SnapshotState.DELETING).update(state=SnapshotState.DELETING)
    snapshots.filter(state=SnapshotState.DELETING).update(state=SnapshotState.DELETED, deleted_at=now)
