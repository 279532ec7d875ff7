"""Disks of all teams and networks of all regions."""

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, PlatformViewSet
from apps.api.fields import RowOut
from apps.api.storage import StaffVolumeOut, VolumeFilters
from apps.core.permissions import Permission
from apps.networks.models import Network
from apps.networks.selectors import list_networks
from apps.storage import selectors


class VolumeViewSet(PlatformViewSet):
    """Disks of all teams."""

    id_prefix = "vol"
    filters = VolumeFilters
    calls = {
        "list": Call(Permission.VOLUME_READ, StaffVolumeOut, summary="List volumes"),
        "retrieve": Call(Permission.VOLUME_READ, StaffVolumeOut, summary="Look at a volume"),
    }

    def list(self, request: Request) -> Response:
        """Newest first; deleted ones are left out."""
        return self.page(selectors.list_volumes(actor=self.actor))

    def retrieve(self, request: Request, id: str) -> Response:
        """One disk."""
        return self.answer(selectors.find(selectors.list_volumes(actor=self.actor), self.id_of("vol", id)))


class NetworkOut(RowOut):
    """A network of a cluster."""

    cluster = serializers.CharField(source="cluster.slug", read_only=True)
    region_id = serializers.CharField(read_only=True)

    class Meta:
        model = Network
        fields = ("id", "name", "kind", "cidr", "cluster", "region_id", "description", "created_at")


class NetworkViewSet(PlatformViewSet):
    """Where machines get their address."""

    calls = {"list": Call(Permission.NETWORK_READ, NetworkOut, summary="List networks")}

    def list(self, request: Request) -> Response:
        """Newest first."""
        return self.page(list_networks(actor=self.actor))
