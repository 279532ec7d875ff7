"""Volumes and snapshots as the APIs show them."""

import django_filters
from rest_framework import serializers

from apps.api.fields import RowOut
from apps.storage.models import Snapshot, Volume
from apps.storage.states import SnapshotState, VolumeState


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


class SnapshotFilters(django_filters.FilterSet):
    """What snapshots may be asked for."""

    state = django_filters.MultipleChoiceFilter(choices=SnapshotState.choices)


class SnapshotOut(RowOut):
    """A root disk as it was."""

    region = serializers.CharField(source="region.slug", read_only=True)

    class Meta:
        model = Snapshot
        fields = ("id", "name", "region", "instance_id", "size_bytes", "disk_gib", "state", "created_at")
