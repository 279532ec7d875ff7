"""Reads of pools and cards."""

import math
from collections.abc import Iterable

from django.db.models import Count, Q, Sum

from apps.gpupools.models import GpuDevice, GpuHold, GpuPool, GpuSlice
from apps.gpupools.specs import PoolFill, RatioImpact
from apps.nodes.models import Node

# Host memory that sharing needs: each share may swap its card's memory out, and a tenth for the rest.
_RESERVE = 1.1


def ratio_impact(*, pool: GpuPool, ratio: int) -> RatioImpact:
    """What selling every card `ratio` times would do; changes nothing."""
    devices = GpuDevice.objects.filter(pool=pool)
    live = GpuHold.objects.filter(slice__device__pool=pool, released_at=None)
    cards = devices.count()
    needed: dict[str, float] = {}
    for node, memory in devices.values_list("node_id").annotate(memory=Sum("memory_mib")):
        needed[node] = memory / 1024 * ratio * _RESERVE if ratio > 1 else 0
    hosts = Node.objects.filter(pk__in=needed)
    short = sorted(one.name for one in hosts if needed[one.pk] > one.memory_mib / 1024)
    return RatioImpact(
        cards=cards,
        slots_before=cards * pool.sharing_ratio,
        slots_after=cards * ratio,
        held=live.count(),
        in_the_way=live.filter(slice__index__gte=ratio).count(),
        memory_needed_gib=math.ceil(sum(needed.values())),
        nodes_short_of_memory=tuple(short),
    )


def fill_of(pool_ids: Iterable[str]) -> dict[str, PoolFill]:
    """How full each of the pools is, in one statement."""
    slices = GpuSlice.objects.filter(device__pool__in=list(pool_ids), is_offered=True)
    rows = slices.values_list("device__pool").annotate(
        cards=Count("device", distinct=True),
        slots=Count("pk", distinct=True),
        held=Count("holds", filter=Q(holds__released_at=None, holds__isnull=False), distinct=True),
    )
    return {pool: PoolFill(cards, slots, held) for pool, cards, slots, held in rows}
