"""What everybody may know without signing in: how the regions are, what GPUs cost, whether any is free."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Count, Q

from apps.billing.selectors.prices import price_list
from apps.catalog.models import GpuModel, InstanceType
from apps.gpupools.models import GpuHold, GpuSlice
from apps.gpupools.states import DeviceHealth
from apps.nodes.states import SERVING, Health, State
from apps.regions.models import Region
from apps.regions.states import RegionState

FEW = 4
_SHOWN = Decimal("0.0001")  # what a price for one of several cards is rounded to


@dataclass(frozen=True)
class RegionStatus:
    """How a region is. `is_up` means that its hosts answer; `says` is the worst that is true of it."""

    region: Region
    hosts: int
    answering: int
    says: str  # one of up, partly, limited, maintenance, down

    @property
    def is_up(self) -> bool:
        return self.says in {"up", "limited"}


@dataclass(frozen=True)
class GpuPrice:
    """A GPU model on sale: what one costs an hour at the least, and how many are free everywhere."""

    model: GpuModel
    hourly: Decimal
    currency: str
    free: int

    @property
    def is_scarce(self) -> bool:
        return 0 < self.free <= FEW


def region_status() -> list[RegionStatus]:
    """Every region that customers may know of; one statement."""
    hosts = Q(nodes__state__in=[state for state in SERVING if state is not State.DRAINING])
    regions: Any = (
        Region.objects.selling()
        .order_by("name")
        .annotate(
            hosts=Count("nodes", filter=hosts),
            answering=Count("nodes", filter=hosts & ~Q(nodes__health=Health.UNREACHABLE)),
        )
    )
    return [RegionStatus(one, one.hosts, one.answering, _says(one)) for one in regions]


def _says(region: Any) -> str:
    if region.state == RegionState.MAINTENANCE:
        return "maintenance"
    if region.hosts and not region.answering:
        return "down"
    if region.answering < region.hosts or region.frozen_at:
        return "partly"
    return "limited" if region.state == RegionState.LIMITED else "up"


def gpu_prices(*, currency: str, at: datetime) -> list[GpuPrice]:
    """The GPU models on sale, dearest first; three statements."""
    prices = {one.product: one.unit_price for one in price_list(currency=currency, at=at)}
    cheapest: dict[str, tuple[GpuModel, Decimal]] = {}
    for kind in InstanceType.objects.launchable().exclude(gpu_model=None).select_related("gpu_model"):
        price = prices.get(kind.product)
        if price is None or not kind.gpus or kind.gpu_model is None:
            continue
        each = (price / kind.gpus).quantize(_SHOWN)
        known = cheapest.get(kind.gpu_model.pk)
        if known is None or each < known[1]:
            cheapest[kind.gpu_model.pk] = (kind.gpu_model, each)
    free = _free()
    found = [GpuPrice(model, each, currency, free.get(pk, 0)) for pk, (model, each) in cheapest.items()]
    return sorted(found, key=lambda one: -one.hourly)


def _free() -> dict[str, int]:
    """Free slices of healthy cards that anybody may take, by GPU model."""
    held = GpuHold.objects.filter(released_at=None).values("slice")
    rows = GpuSlice.objects.filter(
        is_offered=True,
        device__pool__team=None,
        device__health=DeviceHealth.HEALTHY,
        device__is_isolated=False,
        device__node__state=State.READY,
        device__node__region__state=RegionState.OPEN,
    ).exclude(pk__in=held)
    counted = rows.order_by().values_list("device__pool__gpu_model").annotate(n=Count("pk"))
    return dict(counted)
