"""The team's disks."""

from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, TeamViewSet
from apps.api.storage import VolumeFilters, VolumeOut
from apps.core.permissions import Permission
from apps.storage import selectors


class VolumeViewSet(TeamViewSet):
    """The team's disks; each lives and ends with its instance."""

    id_prefix = "vol"
    filters = VolumeFilters
    calls = {
        "list": Call(Permission.VOLUME_READ, VolumeOut, summary="List volumes"),
        "retrieve": Call(Permission.VOLUME_READ, VolumeOut, summary="Look at a volume"),
    }

    def list(self, request: Request) -> Response:
        """Newest first; deleted ones are left out."""
        return self.page(selectors.list_volumes(actor=self.actor))

    def retrieve(self, request: Request, id: str) -> Response:
        """One disk."""
        return self.answer(selectors.find(selectors.list_volumes(actor=self.actor), self.id_of("vol", id)))
