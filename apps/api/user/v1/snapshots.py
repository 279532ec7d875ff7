"""Snapshots of the team's machines."""

from typing import Any

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, TeamViewSet
from apps.api.fields import In, Nothing, RowOut
from apps.core.permissions import Permission
from apps.instances import selectors, services
from apps.storage.models import Snapshot


class SnapshotIn(In):
    name = serializers.CharField(max_length=63)


class SnapshotOut(RowOut):
    """A copy of a machine's root disk at a moment."""

    class Meta:
        model = Snapshot
        fields = ("id", "name", "instance_id", "state", "disk_gib", "size_bytes", "created_by", "created_at")


class SnapshotViewSet(TeamViewSet):
    """Copies of a machine's root disk. All changes answer 202 and are operations of the machine."""

    id_prefix = "snp"
    parents = {"instance": "ins"}
    calls = {
        "list": Call(Permission.INSTANCE_READ, SnapshotOut, summary="List snapshots"),
        "create": Call(Permission.INSTANCE_OPERATE, SnapshotOut, SnapshotIn, 202, "Take a snapshot"),
        "destroy": Call(Permission.INSTANCE_OPERATE, SnapshotOut, None, 202, "Delete a snapshot"),
        "restore": Call(Permission.INSTANCE_OPERATE, SnapshotOut, Nothing, 202, "Restore a snapshot"),
    }

    def list(self, request: Request, instance: str) -> Response:
        """Newest first."""
        found = selectors.get_instance(actor=self.actor, instance_id=self.id_of("ins", instance))
        return self.page(selectors.list_snapshots(actor=self.actor, instance_id=found.pk))

    def create(self, request: Request, instance: str) -> Response:
        """Crash-consistent; the machine may run on."""
        asked: dict[str, Any] = {"instance_id": self.id_of("ins", instance), **self.body()}
        return self.answer(services.create_snapshot(actor=self.actor, **asked))

    def destroy(self, request: Request, instance: str, id: str) -> Response:
        return self.answer(services.delete_snapshot(actor=self.actor, **self._which(instance, id)))

    @action(detail=True, methods=["post"])
    def restore(self, request: Request, instance: str, id: str) -> Response:
        """The machine must be stopped; what was written since is lost."""
        self.body()
        return self.answer(services.restore_snapshot(actor=self.actor, **self._which(instance, id)))

    def _which(self, instance: str, id: str) -> dict[str, str]:
        return {"instance_id": self.id_of("ins", instance), "snapshot_id": self.id_of(self.id_prefix, id)}
