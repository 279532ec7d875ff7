"""Disks, datastores and networks of the region."""

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, RegionViewSet
from apps.api.fields import RowOut
from apps.api.storage import StaffVolumeOut, VolumeActions, volume_calls
from apps.core.permissions import Permission
from apps.networks.models import Network
from apps.networks.selectors import list_networks
from apps.storage import selectors
from apps.storage.models import Datastore


class DatastoreOut(RowOut):
    """A place for disks."""

    cluster = serializers.CharField(source="cluster.slug", read_only=True)

    class Meta:
        model = Datastore
        fields = ("id", "name", "kind", "cluster", "created_at")


class NetworkOut(RowOut):
    """A network of a cluster."""

    cluster = serializers.CharField(source="cluster.slug", read_only=True)

    class Meta:
        model = Network
        fields = ("id", "name", "kind", "cidr", "cluster", "description", "created_at")


class VolumeViewSet(VolumeActions, RegionViewSet):
    """Disks in the region."""

    calls = volume_calls(StaffVolumeOut)


class DatastoreViewSet(RegionViewSet):
    """Where disks live."""

    calls = {"list": Call(Permission.STORAGE_READ, DatastoreOut, summary="List datastores")}

    def list(self, request: Request) -> Response:
        """Newest first."""
        return self.page(selectors.list_datastores(actor=self.actor))


class NetworkViewSet(RegionViewSet):
    """Where machines get their address."""

    calls = {"list": Call(Permission.NETWORK_READ, NetworkOut, summary="List networks")}

    def list(self, request: Request) -> Response:
        """Newest first."""
        return self.page(list_networks(actor=self.actor))
