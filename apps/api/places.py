"""Regions and clusters as the staff's APIs show them."""

import django_filters
from rest_framework import serializers

from apps.api.fields import RowOut
from apps.regions.models import Cluster, Region, Zone
from apps.regions.states import ClusterState


class ZoneOut(RowOut):
    """A failure domain."""

    class Meta:
        model = Zone
        fields = ("id", "slug", "name")


class RegionOut(RowOut):
    """A place with clusters of its own; `frozen_at` is the brake."""

    class Meta:
        model = Region
        fields: tuple[str, ...] = (
            "id", "slug", "name", "location", "country", "state", "brake_percent", "frozen_at",
            "frozen_because", "created_at",
        )  # fmt: skip


class ClusterFilters(django_filters.FilterSet):
    """What clusters may be asked for."""

    state = django_filters.MultipleChoiceFilter(choices=ClusterState.choices)
    kind = django_filters.CharFilter()
    region = django_filters.CharFilter(field_name="region__slug")


class RegionalClusterOut(RowOut):
    """One endpoint of one driver, as the region's staff sees it: without its configuration."""

    region = serializers.CharField(source="region.slug", read_only=True)
    zone = serializers.CharField(source="zone.slug", read_only=True, allow_null=True, default=None)

    class Meta:
        model = Cluster
        fields: tuple[str, ...] = (
            "id", "slug", "name", "region", "zone", "kind", "state", "auto_enrol", "version", "last_error",
            "last_seen_at", "created_at",
        )  # fmt: skip


class ClusterOut(RegionalClusterOut):
    """One endpoint of one driver. Its credentials are never shown, only whether it has some."""

    has_credentials = serializers.SerializerMethodField()

    class Meta(RegionalClusterOut.Meta):
        fields = (*RegionalClusterOut.Meta.fields, "config", "has_credentials")

    def get_has_credentials(self, cluster: Cluster) -> bool:
        return bool(cluster.credentials)
