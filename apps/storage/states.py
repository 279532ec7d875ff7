"""The life of volumes and snapshots."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from apps.core.states import Machine


class VolumeState(TextChoices):
    CREATING = "creating", _("Creating")
    AVAILABLE = "available", _("Available")
    IN_USE = "in_use", _("In use")
    DELETING = "deleting", _("Deleting")
    DELETED = "deleted", _("Deleted")
    FAILED = "failed", _("Failed")


class SnapshotState(TextChoices):
    CREATING = "creating", _("Creating")
    AVAILABLE = "available", _("Available")
    RESTORING = "restoring", _("Restoring")
    DELETING = "deleting", _("Deleting")
    DELETED = "deleted", _("Deleted")
    FAILED = "failed", _("Failed")


VOLUME = Machine.of(
    ("attach", {VolumeState.CREATING, VolumeState.AVAILABLE}, VolumeState.IN_USE),
    ("detach", {VolumeState.IN_USE}, VolumeState.AVAILABLE),
    ("fail", {VolumeState.CREATING}, VolumeState.FAILED),
    ("delete", set(VolumeState) - {VolumeState.DELETING, VolumeState.DELETED}, VolumeState.DELETING),
    ("vanish", {VolumeState.DELETING}, VolumeState.DELETED),
)

SNAPSHOT = Machine.of(
    ("complete", {SnapshotState.CREATING}, SnapshotState.AVAILABLE),
    ("restore", {SnapshotState.AVAILABLE}, SnapshotState.RESTORING),
    ("settle", {SnapshotState.RESTORING}, SnapshotState.AVAILABLE),
    ("fail", {SnapshotState.CREATING}, SnapshotState.FAILED),
    ("delete", set(SnapshotState) - {SnapshotState.DELETING, SnapshotState.DELETED}, SnapshotState.DELETING),
    ("vanish", {SnapshotState.DELETING}, SnapshotState.DELETED),
)
