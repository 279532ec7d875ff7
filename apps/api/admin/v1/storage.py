"""Disks of all teams and networks of all regions."""

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, PlatformViewSet
from apps.api.fields import RowOut
from apps.api.storage import StaffVolumeOut, VolumeActions, volume_calls
from apps.core.permissions import Permission
from apps.networks.models import Network
from apps.networks.selectors import list_networks


class VolumeViewSet(VolumeActions, PlatformViewSet):
    """Disks of all teams."""

    calls = volume_calls(StaffVolumeOut)


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
