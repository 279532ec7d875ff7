"""Snapshots of an instance's root disk."""

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from apps.core.actor import Actor
from apps.core.errors import Conflict, NotFound
from apps.core.permissions import Permission
from apps.instances.errors import NameTaken, WrongState
from apps.instances.models import Instance
from apps.instances.services.wishes import be_idle, begin, check_name, lock
from apps.instances.specs import RESTORE, SNAPSHOT, UNSNAPSHOT
from apps.instances.states import State, Work
from apps.storage.models import Snapshot
from apps.storage.states import SnapshotState

MOST = 16


class TooManySnapshots(Conflict):
    code = "too_many_snapshots"


@transaction.atomic
def create_snapshot(*, actor: Actor, instance_id: str, name: str) -> Snapshot:
    """Take a crash-consistent copy of the root disk, running or stopped."""
    instance = lock(actor=actor, instance_id=instance_id, permission=Permission.INSTANCE_OPERATE)
    be_idle(instance, State.RUNNING, State.STOPPED)
    check_name(name)
    if Snapshot.objects.filter(instance_id=instance.pk).live().count() >= MOST:
        raise TooManySnapshots(_("An instance has at most %(most)s snapshots.") % {"most": MOST})
    try:
        with transaction.atomic():
            snapshot = Snapshot.objects.create(
                team_id=instance.team_id,
                workspace_id=instance.workspace_id,
                region_id=instance.region_id,
                instance_id=instance.pk,
                name=name,
                disk_gib=instance.disk_gib,
                created_by=actor.label[:200],
            )
    except IntegrityError as error:
        raise NameTaken(_("This instance has a snapshot of this name."), field="name") from error
    _begin(actor, instance, snapshot, Work.SNAPSHOT)
    return snapshot


@transaction.atomic
def delete_snapshot(*, actor: Actor, instance_id: str, snapshot_id: str) -> Snapshot:
    """Remove a snapshot for good; may be asked again when it did not succeed."""
    instance = lock(actor=actor, instance_id=instance_id, permission=Permission.INSTANCE_OPERATE)
    be_idle(instance, State.RUNNING, State.STOPPED)
    snapshot = _find(instance, snapshot_id)
    if snapshot.state != SnapshotState.DELETING:
        snapshot.state = SnapshotState.DELETING
        snapshot.save(update_fields=["state"])
    _begin(actor, instance, snapshot, Work.UNSNAPSHOT)
    return snapshot


@transaction.atomic
def restore_snapshot(*, actor: Actor, instance_id: str, snapshot_id: str) -> Snapshot:
    """Put the disk of a stopped instance back to what it was; what was written since is lost."""
    instance = lock(actor=actor, instance_id=instance_id, permission=Permission.INSTANCE_OPERATE)
    be_idle(instance, State.STOPPED)
    snapshot = _find(instance, snapshot_id)
    if snapshot.state != SnapshotState.AVAILABLE:
        raise WrongState(_("This snapshot cannot be restored now."), state=str(snapshot.state))
    snapshot.state = SnapshotState.RESTORING
    snapshot.save(update_fields=["state"])
    _begin(actor, instance, snapshot, Work.RESTORE)
    return snapshot


def _find(instance: Instance, snapshot_id: str) -> Snapshot:
    mine = Snapshot.objects.filter(instance_id=instance.pk).live()
    found = mine.select_for_update(of=("self",)).filter(pk=snapshot_id).first()
    if found is None:
        raise NotFound(_("There is no such snapshot."))
    snapshot: Snapshot = found
    return snapshot


_PLANS = {Work.SNAPSHOT: SNAPSHOT, Work.UNSNAPSHOT: UNSNAPSHOT, Work.RESTORE: RESTORE}
_ACTIONS = {
    Work.SNAPSHOT: "snapshot.created",
    Work.UNSNAPSHOT: "snapshot.deleted",
    Work.RESTORE: "snapshot.restored",
}


def _begin(actor: Actor, instance: Instance, snapshot: Snapshot, work: Work) -> None:
    params = {"snapshot_id": str(snapshot.pk), "driver_name": snapshot.driver_name}
    begin(
        actor=actor,
        instance=instance,
        plan=_PLANS[work],
        action=_ACTIONS[work],
        work=work,
        work_params=params,
    )
