"""Reads of cards, pools and who holds what."""

from typing import Any

from django.db.models import Count, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from apps.core.actor import Actor
from apps.core.errors import NotFound
from apps.gpupools.models import GpuDevice, GpuHold, GpuPool, GpuSlice
from apps.gpupools.states import DeviceHealth


def list_gpus(*, actor: Actor) -> QuerySet[Any]:
    """The cards, each with `slots` and `held` of its shares."""
    return with_holds(GpuDevice.objects.visible_to(actor).select_related("node", "model", "pool"))


def count_cards(*, node_id: str) -> tuple[int, int]:
    """How many cards a node has, and how many of them are in a pool."""
    counts = GpuDevice.objects.filter(node_id=node_id).aggregate(all=Count("pk"), pooled=Count("pool"))
    return int(counts["all"]), int(counts["pooled"])


def find_gpu(*, actor: Actor, gpu_id: str) -> GpuDevice:
    """A card as its region's staff sees it; raises NotFound."""
    found: GpuDevice | None = list_gpus(actor=actor).filter(pk=gpu_id).first()
    if found is None:
        raise NotFound(_("There is no such GPU."))
    return found


def list_pools(*, actor: Actor) -> QuerySet[Any]:
    """The pools, each with `cards`, `slots` and `held`."""
    rows = GpuPool.objects.visible_to(actor).select_related("region", "gpu_model", "team")
    slices = GpuSlice.objects.filter(device__pool=OuterRef("pk"), is_offered=True)
    live = GpuHold.objects.filter(slice__device__pool=OuterRef("pk"), released_at=None)
    found: QuerySet[Any] = rows.annotate(
        cards=_count(GpuDevice.objects.filter(pool=OuterRef("pk")), "pool"),
        slots=_count(slices, "device__pool"),
        held=_count(live, "slice__device__pool"),
    )
    return found


def find_pool(*, actor: Actor, pool_id: str) -> GpuPool:
    """A pool as its region's staff sees it; raises NotFound."""
    found: GpuPool | None = list_pools(actor=actor).filter(pk=pool_id).first()
    if found is None:
        raise NotFound(_("There is no such pool."))
    return found


def with_holds(devices: QuerySet[Any]) -> QuerySet[Any]:
    """Each card with `slots` and `held`."""
    slices = GpuSlice.objects.filter(device=OuterRef("pk"), is_offered=True)
    live = GpuHold.objects.filter(slice__device=OuterRef("pk"), released_at=None)
    found: QuerySet[Any] = devices.annotate(
        slots=_count(slices, "device"), held=_count(live, "slice__device")
    )
    return found


def with_cards(nodes: QuerySet[Any]) -> QuerySet[Any]:
    """Each node with `cards`, how many of them somebody has, and how many are out of order."""
    cards = GpuDevice.objects.filter(node=OuterRef("pk"))
    live = GpuHold.objects.filter(slice__device__node=OuterRef("pk"), released_at=None)
    held = live.order_by().values("slice__device__node").annotate(n=Count("slice__device", distinct=True))
    found: QuerySet[Any] = nodes.annotate(
        cards=_count(cards, "node"),
        cards_held=Coalesce(Subquery(held.values("n"), output_field=IntegerField()), 0),
        cards_sick=_count(cards.filter(~Q(health=DeviceHealth.HEALTHY) | Q(is_isolated=True)), "node"),
    )
    return found


def _count(rows: QuerySet[Any], by: str) -> Any:
    counted = rows.order_by().values(by).annotate(n=Count("pk")).values("n")
    return Coalesce(Subquery(counted, output_field=IntegerField()), 0)
