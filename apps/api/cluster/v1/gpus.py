"""Cards and pools of the region."""

from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, RegionViewSet
from apps.api.gpus import GpuActions, PoolFilters, PoolOut
from apps.core.permissions import Permission
from apps.gpupools.selectors import cards


class GpuViewSet(GpuActions, RegionViewSet):
    __doc__ = GpuActions.__doc__


class PoolViewSet(RegionViewSet):
    """What the region's GPUs are sold from."""

    id_prefix = "pool"
    filters = PoolFilters
    calls = {
        "list": Call(Permission.POOL_READ, PoolOut, summary="List GPU pools"),
        "retrieve": Call(Permission.POOL_READ, PoolOut, summary="Look at a GPU pool"),
    }

    def list(self, request: Request) -> Response:
        """Newest first."""
        return self.page(cards.list_pools(actor=self.actor))

    def retrieve(self, request: Request, id: str) -> Response:
        """How full it is."""
        return self.answer(cards.find_pool(actor=self.actor, pool_id=self.id_of("pool", id)))
