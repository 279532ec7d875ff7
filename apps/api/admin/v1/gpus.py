"""Cards and pools of all regions."""

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, PlatformViewSet
from apps.api.fields import In, Out, TypedIdField
from apps.api.gpus import GpuActions, PoolFilters, PoolOut
from apps.core.permissions import Permission
from apps.gpupools.models import GpuPool
from apps.gpupools.selectors import cards
from apps.gpupools.selectors.pools import ratio_impact
from apps.gpupools.services import pools
from apps.gpupools.specs import PoolSpec
from apps.gpupools.states import Isolation, Packing, Security
from apps.regions.selectors import find_region

P = Permission


class GpuViewSet(GpuActions, PlatformViewSet):
    __doc__ = GpuActions.__doc__


class PoolIn(In):
    """A new, empty pool; private when it names a team."""

    region_id = TypedIdField("reg")
    gpu_model_id = TypedIdField("gpm")
    team_id = TypedIdField("team", required=False)
    slug = serializers.CharField(max_length=40)
    name = serializers.CharField(max_length=80)
    isolation = serializers.ChoiceField(choices=Isolation.choices, required=False)
    sharing_ratio = serializers.IntegerField(min_value=1, max_value=10, required=False)
    time_quantum_s = serializers.IntegerField(min_value=10, max_value=120, required=False)
    security_level = serializers.ChoiceField(choices=Security.choices, required=False)
    placement = serializers.ChoiceField(choices=Packing.choices, required=False)


class PoolChangeIn(In):
    """What may be changed; none of it moves what runs."""

    name = serializers.CharField(max_length=80, required=False)
    time_quantum_s = serializers.IntegerField(min_value=10, max_value=120, required=False)
    security_level = serializers.ChoiceField(choices=Security.choices, required=False)
    placement = serializers.ChoiceField(choices=Packing.choices, required=False)


class GpusIn(In):
    """Which cards."""

    gpus = serializers.ListField(child=TypedIdField("gpu"), allow_empty=False, max_length=5000)


class RatioIn(In):
    """How often each card is sold."""

    sharing_ratio = serializers.IntegerField(min_value=1, max_value=10)


class PoolMoveIn(In):
    """Which way."""

    event = serializers.ChoiceField(choices=("pause", "resume", "retire"))


class ImpactOut(Out):
    """What another sharing ratio would do; memory in GiB, on the hosts."""

    cards = serializers.IntegerField()
    slots_before = serializers.IntegerField()
    slots_after = serializers.IntegerField()
    held = serializers.IntegerField()
    in_the_way = serializers.IntegerField()
    memory_needed_gib = serializers.IntegerField()
    nodes_short_of_memory = serializers.ListField(child=serializers.CharField())


class PoolViewSet(PlatformViewSet):
    """What GPUs are sold from."""

    id_prefix = "pool"
    filters = PoolFilters
    calls = {
        "list": Call(P.POOL_READ, PoolOut, summary="List GPU pools"),
        "create": Call(P.POOL_MANAGE, PoolOut, PoolIn, 201, summary="Make a GPU pool"),
        "retrieve": Call(P.POOL_READ, PoolOut, summary="Look at a GPU pool"),
        "partial_update": Call(P.POOL_MANAGE, PoolOut, PoolChangeIn, summary="Change a GPU pool"),
        "add_gpus": Call(P.POOL_MANAGE, PoolOut, GpusIn, summary="Put GPUs into a pool"),
        "remove_gpus": Call(P.POOL_MANAGE, PoolOut, GpusIn, summary="Take GPUs out of a pool"),
        "impact": Call(P.POOL_READ, ImpactOut, RatioIn, summary="See what another ratio would do"),
        "ratio": Call(P.POOL_MANAGE, PoolOut, RatioIn, summary="Change the sharing ratio"),
        "move": Call(P.POOL_MANAGE, PoolOut, PoolMoveIn, summary="Pause, resume or retire a pool"),
    }

    def list(self, request: Request) -> Response:
        """Newest first."""
        return self.page(cards.list_pools(actor=self.actor))

    def create(self, request: Request) -> Response:
        """Put GPUs into it next."""
        body = self.body()
        region = find_region(actor=self.actor, region_id=body.pop("region_id"))
        pool = pools.create_pool(actor=self.actor, region=region, spec=PoolSpec(**body))
        return self._shown(pool)

    def retrieve(self, request: Request, id: str) -> Response:
        """How full it is."""
        return self.answer(self._pool(id))

    def partial_update(self, request: Request, id: str) -> Response:
        """The ratio has an address of its own."""
        pool = self.unchanged(self._pool(id))
        return self._shown(pools.update_pool(actor=self.actor, pool=pool, changes=self.body()))

    @action(detail=True, methods=["post"], url_path="add-gpus")
    def add_gpus(self, request: Request, id: str) -> Response:
        """Of the pool's model and region, and in no other pool."""
        pool = self._pool(id)
        pools.add_gpus(actor=self.actor, pool=pool, device_ids=self.body()["gpus"])
        return self._shown(pool)

    @action(detail=True, methods=["post"], url_path="remove-gpus")
    def remove_gpus(self, request: Request, id: str) -> Response:
        """Only those that nobody holds."""
        pool = self._pool(id)
        pools.remove_gpus(actor=self.actor, pool=pool, device_ids=self.body()["gpus"])
        return self._shown(pool)

    @action(detail=True, methods=["post"])
    def impact(self, request: Request, id: str) -> Response:
        """Changes nothing."""
        return self.answer(ratio_impact(pool=self._pool(id), ratio=self.body()["sharing_ratio"]))

    @action(detail=True, methods=["post"])
    def ratio(self, request: Request, id: str) -> Response:
        """Refused while shares above it are in use."""
        pool = self._pool(id)
        return self._shown(
            pools.change_ratio(actor=self.actor, pool=pool, ratio=self.body()["sharing_ratio"])
        )

    @action(detail=True, methods=["post"])
    def move(self, request: Request, id: str) -> Response:
        """What runs of it goes on."""
        return self._shown(pools.move_pool(actor=self.actor, pool=self._pool(id), **self.body()))

    def _pool(self, id: str) -> GpuPool:
        return cards.find_pool(actor=self.actor, pool_id=self.id_of("pool", id))

    def _shown(self, pool: GpuPool) -> Response:
        return self.answer(cards.find_pool(actor=self.actor, pool_id=str(pool.pk)))
