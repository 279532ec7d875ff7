"""GPUs and pools as the staff's APIs show them."""

from typing import ClassVar

import django_filters
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import ApiViewSet, Call
from apps.api.fields import Nothing, RowOut
from apps.core.permissions import Permission
from apps.gpupools.models import GpuDevice, GpuPool
from apps.gpupools.selectors import cards
from apps.gpupools.services import devices
from apps.gpupools.states import DeviceHealth, PoolState

P = Permission


class GpuFilters(django_filters.FilterSet):
    """What GPUs may be asked for."""

    node = django_filters.CharFilter(field_name="node__name")
    model = django_filters.CharFilter(field_name="model__slug")
    pool = django_filters.CharFilter(field_name="pool__slug")
    health = django_filters.MultipleChoiceFilter(choices=DeviceHealth.choices)
    isolated = django_filters.BooleanFilter(field_name="is_isolated")


class GpuOut(RowOut):
    """A card: where it sits, how it is, how many of its shares somebody has."""

    node = serializers.CharField(source="node.name", read_only=True)
    node_id = serializers.CharField(read_only=True)
    model = serializers.CharField(source="model.slug", read_only=True)
    pool = serializers.CharField(source="pool.slug", read_only=True, allow_null=True, default=None)
    slots = serializers.IntegerField(read_only=True)
    held = serializers.IntegerField(read_only=True)

    class Meta:
        model = GpuDevice
        fields = (
            "id", "uuid", "model", "node", "node_id", "pci_address", "numa_node", "memory_mib", "pool",
            "health", "is_isolated", "slots", "held", "last_seen_at", "created_at",
        )  # fmt: skip


class GpuActions(ApiViewSet, abstract=True):
    """The cards of the fleet."""

    id_prefix = "gpu"
    filters = GpuFilters
    calls: ClassVar = {
        "list": Call(P.GPU_READ, GpuOut, summary="List GPUs"),
        "retrieve": Call(P.GPU_READ, GpuOut, summary="Look at a GPU"),
        "isolate": Call(P.GPU_MANAGE, GpuOut, Nothing, summary="Give a GPU to nobody new"),
        "take_back": Call(P.GPU_MANAGE, GpuOut, Nothing, summary="Give a GPU out again"),
    }

    def list(self, request: Request) -> Response:
        """Newest first."""
        return self.page(cards.list_gpus(actor=self.actor))

    def retrieve(self, request: Request, id: str) -> Response:
        """One card."""
        return self._shown(id)

    @action(detail=True, methods=["post"])
    def isolate(self, request: Request, id: str) -> Response:
        """Whoever has it keeps it."""
        return self._set(id, isolated=True)

    @action(detail=True, methods=["post"], url_path="take-back")
    def take_back(self, request: Request, id: str) -> Response:
        """It is sold again."""
        return self._set(id, isolated=False)

    def _set(self, id: str, *, isolated: bool) -> Response:
        self.body()
        device = cards.find_gpu(actor=self.actor, gpu_id=self.id_of("gpu", id))
        devices.isolate_device(actor=self.actor, device=device, isolated=isolated)
        return self._shown(id)

    def _shown(self, id: str) -> Response:
        return self.answer(cards.find_gpu(actor=self.actor, gpu_id=self.id_of("gpu", id)))


class PoolFilters(django_filters.FilterSet):
    """What pools may be asked for."""

    state = django_filters.MultipleChoiceFilter(choices=PoolState.choices)
    model = django_filters.CharFilter(field_name="gpu_model__slug")
    region = django_filters.CharFilter(field_name="region__slug")


class PoolOut(RowOut):
    """GPUs that are sold together, and how full they are."""

    region = serializers.CharField(source="region.slug", read_only=True)
    model = serializers.CharField(source="gpu_model.slug", read_only=True)
    team_id = serializers.CharField(read_only=True, allow_null=True)
    cards = serializers.IntegerField(read_only=True)
    slots = serializers.IntegerField(read_only=True)
    held = serializers.IntegerField(read_only=True)

    class Meta:
        model = GpuPool
        fields = (
            "id", "slug", "name", "region", "model", "team_id", "isolation", "sharing_ratio",
            "time_quantum_s", "security_level", "placement", "state", "cards", "slots", "held", "created_at",
        )  # fmt: skip
