"""Volumes and snapshots as the APIs show them."""

from collections.abc import Mapping

import django_filters
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import ApiViewSet, Call
from apps.api.fields import RowOut
from apps.core.permissions import Permission
from apps.storage import selectors
from apps.storage.models import Snapshot, Volume
from apps.storage.states import VolumeState


class VolumeFilters(django_filters.FilterSet):
    """What volumes may be asked for."""

    state = django_filters.MultipleChoiceFilter(choices=VolumeState.choices)
    instance = django_filters.CharFilter(field_name="instance_id")


class VolumeOut(RowOut):
    """A disk."""

    region = serializers.CharField(source="region.slug", read_only=True)

    class Meta:
        model = Volume
        fields: tuple[str, ...] = ("id", "name", "region", "instance_id", "size_gib", "state", "created_at")


class StaffVolumeOut(VolumeOut):
    """A disk, and whose it is."""

    team_id = serializers.CharField(read_only=True)

    class Meta(VolumeOut.Meta):
        fields = (*VolumeOut.Meta.fields, "team_id")


class VolumeActions(ApiViewSet, abstract=True):
    """Disks, as whoever may see them looks at them."""

    id_prefix = "vol"
    filters = VolumeFilters

    def list(self, request: Request) -> Response:
        """Newest first; deleted ones are left out."""
        return self.page(selectors.list_volumes(actor=self.actor))

    def retrieve(self, request: Request, id: str) -> Response:
        """One disk."""
        return self.answer(selectors.find(selectors.list_volumes(actor=self.actor), self.id_of("vol", id)))


def volume_calls(shown: type[VolumeOut]) -> Mapping[str, Call]:
    return {
        "list": Call(Permission.VOLUME_READ, shown, summary="List volumes"),
        "retrieve": Call(Permission.VOLUME_READ, shown, summary="Look at a volume"),
    }


class SnapshotOut(RowOut):
    """A root disk as it was."""

    region = serializers.CharField(source="region.slug", read_only=True)

    class Meta:
        model = Snapshot
        fields = ("id", "name", "region", "instance_id", "size_bytes", "disk_gib", "state", "created_at")
