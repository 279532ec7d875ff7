"""Where disks live, the disks, and their snapshots."""

from typing import ClassVar

import pgtrigger
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.core.ids import IdField
from apps.core.permissions import Permission
from apps.core.tenancy import TenantQuerySet
from apps.regions.models import Cluster, Region
from apps.storage.states import SNAPSHOT, VOLUME, SnapshotState, VolumeState
from apps.teams.models import Team, Workspace


class DatastoreQuerySet(TenantQuerySet):
    read_permission = Permission.STORAGE_READ
    team_path = None
    region_path = "region_id"


class Datastore(models.Model):
    """A place for disks: a directory of the hosts, for now."""

    id = IdField("dst", primary_key=True)
    region = models.ForeignKey(Region, models.PROTECT, related_name="+")
    cluster = models.ForeignKey(Cluster, models.PROTECT, related_name="+")
    name = models.CharField(_("name"), max_length=80)
    kind = models.CharField(_("kind"), max_length=20, default="directory")
    created_at = models.DateTimeField(_("created"), db_default=Now())

    objects = DatastoreQuerySet.as_manager()

    class Meta:
        ordering = ("name",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["cluster", "name"], name="storage_datastore_name")
        ]

    def __str__(self) -> str:
        return self.name


class VolumeQuerySet(TenantQuerySet):
    read_permission = Permission.VOLUME_READ
    workspace_path = "workspace_id"
    region_path = "region_id"

    def live(self) -> "VolumeQuerySet":
        return self.exclude(state=VolumeState.DELETED)


class Volume(models.Model):
    """A virtual disk; so far the root disk of an instance, which owns its life."""

    id = IdField("vol", primary_key=True)
    team = models.ForeignKey(Team, models.PROTECT, related_name="+")
    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+")
    region = models.ForeignKey(Region, models.PROTECT, related_name="+")
    datastore = models.ForeignKey(Datastore, models.PROTECT, null=True, related_name="volumes")
    instance_id = IdField("ins", null=True, db_index=True)
    name = models.CharField(_("name"), max_length=80)
    size_gib = models.PositiveIntegerField(_("size"))
    state = models.CharField(
        _("state"), max_length=12, choices=VolumeState.choices, default=VolumeState.CREATING
    )
    created_at = models.DateTimeField(_("created"), db_default=Now())
    deleted_at = models.DateTimeField(null=True)

    objects = VolumeQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(size_gib__gt=0), name="storage_volume_has_a_size"),
            models.CheckConstraint(condition=Q(state__in=VolumeState.values), name="storage_volume_state"),
            models.UniqueConstraint(
                fields=["instance_id"],
                condition=Q(instance_id__isnull=False) & ~Q(state=VolumeState.DELETED),
                name="storage_one_root_volume",
            ),
        ]
        triggers: ClassVar = [pgtrigger.FSM(name="states", field="state", transitions=VOLUME.edges())]

    def __str__(self) -> str:
        return self.name


class SnapshotQuerySet(TenantQuerySet):
    read_permission = Permission.VOLUME_READ
    workspace_path = "workspace_id"
    region_path = "region_id"

    def live(self) -> "SnapshotQuerySet":
        return self.exclude(state=SnapshotState.DELETED)


class Snapshot(models.Model):
    """A root disk as it was at a moment, crash-consistent; the driver knows it by `driver_name`."""

    id = IdField("snp", primary_key=True)
    team = models.ForeignKey(Team, models.PROTECT, related_name="+")
    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+")
    region = models.ForeignKey(Region, models.PROTECT, related_name="+")
    instance_id = IdField("ins", db_index=True)
    name = models.CharField(_("name"), max_length=63)
    size_bytes = models.PositiveBigIntegerField(_("size"), default=0)
    disk_gib = models.PositiveIntegerField(_("disk"))
    state = models.CharField(
        _("state"), max_length=12, choices=SnapshotState.choices, default=SnapshotState.CREATING
    )
    created_by = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(_("created"), db_default=Now())
    deleted_at = models.DateTimeField(null=True)

    objects = SnapshotQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(state__in=SnapshotState.values), name="storage_snapshot_state"
            ),
            models.UniqueConstraint(
                fields=["instance_id", "name"],
                condition=~Q(state=SnapshotState.DELETED),
                name="storage_snapshot_name",
            ),
        ]
        triggers: ClassVar = [pgtrigger.FSM(name="states", field="state", transitions=SNAPSHOT.edges())]

    def __str__(self) -> str:
        return self.name

    @property
    def driver_name(self) -> str:
        return f"hai-{self.pk}"
