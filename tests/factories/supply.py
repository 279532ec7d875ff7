"""Supply for tests: one call makes a region that can be launched in."""

from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from apps.catalog.models import GpuModel, Image, InstanceType
from apps.core.clock import db_now
from apps.drivers.base import GpuInfo, Inventory, NodeInfo
from apps.gpupools.models import GpuDevice, GpuPool, GpuSlice
from apps.gpupools.specs import Wanted
from apps.nodes.models import Node
from apps.nodes.services import record_inventory
from apps.nodes.states import State
from apps.regions.models import Cluster, Region
from apps.regions.reconcilers import driver_of

_numbers = count(1)


@dataclass
class Supply:
    """What `make_supply` made. `wanted` and `gpu_wanted` are wishes that fit it."""

    region: Region
    cluster: Cluster
    nodes: list[Node]
    model: GpuModel
    pool: GpuPool | None
    type: InstanceType
    gpu_type: InstanceType
    image: Image
    extra: dict[str, Any] = field(default_factory=dict)

    def wanted(self, **changes: Any) -> Wanted:
        fields = {"region_id": self.region.pk, "vcpus": 2, "memory_mib": 4096, "disk_gib": 20}
        return Wanted(**{**fields, **changes})

    def gpu_wanted(self, gpus: int = 1, **changes: Any) -> Wanted:
        return self.wanted(gpu_model_id=self.model.pk, gpus=gpus, **changes)


def make_region(slug: str = "", **fields: Any) -> Region:
    number = next(_numbers)
    slug = slug or f"region-{number}"
    return Region.objects.create(**{"slug": slug, "name": slug.title(), "location": "Nowhere", **fields})


def make_supply(
    path: Path | None = None,
    *,
    nodes: int = 2,
    gpus: int = 4,
    ratio: int = 1,
    slug: str = "",
    config: dict[str, Any] | None = None,
    **pool: Any,
) -> Supply:
    """A region with one simulated cluster, ready nodes, `gpus` cards in each, a pool of them, two
    instance types and an image.

    With a `path` (a file for the simulator, say `tmp_path / "sim.sqlite"`) the nodes are those that the
    driver really reports; without one nothing may be asked of the driver.
    """
    region = make_region(slug)
    shape = {"prefix": f"{region.slug}-n", "count": nodes, "vcpus": 64, "memory_gib": 512, "disk_gib": 8000}
    shape |= {"gpus": gpus, "gpu_model": "h100-80gb", "gpu_memory_gib": 80}
    settings = {"path": str(path or "/nowhere/sim.sqlite"), "world": region.slug, "nodes": [shape]}
    cluster = Cluster.objects.create(
        region=region, name="Simulated", slug="sim", kind="sim", config={**settings, **(config or {})}
    )
    model = _model()
    inventory = driver_of(cluster).inventory() if path else _pretend(region.slug, nodes, gpus)
    record_inventory(cluster=cluster, nodes=inventory.nodes, now=db_now())
    for state in (State.TESTING, State.INITIALIZING, State.READY):
        Node.objects.filter(cluster=cluster).update(state=state)
    return Supply(
        region=region,
        cluster=cluster,
        nodes=list(Node.objects.filter(cluster=cluster).order_by("name")),
        model=model,
        pool=make_pool(region, model, ratio=ratio, **pool) if gpus else None,
        type=_type("cpu-2", vcpus=2, memory_mib=4096, disk_gib=20),
        gpu_type=_type("h100-1", vcpus=8, memory_mib=65536, disk_gib=100, gpu_model=model, gpus=1),
        image=make_image(),
    )


def make_pool(region: Region, model: GpuModel, *, ratio: int = 1, **fields: Any) -> GpuPool:
    """A pool of all the region's cards of a model that are in none."""
    number = next(_numbers)
    isolation = "passthrough" if ratio == 1 else "time_slice"
    pool = GpuPool.objects.create(
        **{
            "region": region,
            "gpu_model": model,
            "name": f"Pool {number}",
            "slug": f"pool-{number}",
            "sharing_ratio": ratio,
            "isolation": isolation,
            **fields,
        }
    )
    devices = list(GpuDevice.objects.filter(region=region, model=model, pool=None).order_by("pk"))
    GpuDevice.objects.filter(pk__in=[one.pk for one in devices]).update(pool=pool)
    GpuSlice.objects.bulk_create(GpuSlice(device=one, index=i) for one in devices for i in range(ratio))
    return pool


def make_image(slug: str = "debian-12", **fields: Any) -> Image:
    made = {"name": slug.title(), "version": "1", "os": "debian", "min_disk_gib": 2, "min_memory_mib": 256}
    return Image.objects.get_or_create(slug=slug, defaults={**made, **fields})[0]


def _model() -> GpuModel:
    made = {"vendor": "nvidia", "name": "H100 80GB", "memory_gib": 80}
    return GpuModel.objects.get_or_create(slug="h100-80gb", defaults=made)[0]


def _type(slug: str, **fields: Any) -> InstanceType:
    return InstanceType.objects.get_or_create(slug=slug, defaults={"name": slug, **fields})[0]


def _pretend(name: str, nodes: int, gpus: int) -> Inventory:
    """What a simulated cluster would report, without a simulator."""
    return Inventory(
        tuple(
            NodeInfo(
                name=f"{name}-n-{n:02}",
                vcpus=64,
                memory_mib=512 * 1024,
                disk_gib=8000,
                hypervisor="sim",
                gpus=tuple(
                    GpuInfo(f"GPU-{name}-{n}-{g}", "nvidia", "h100-80gb", 81920, f"0000:{g:02x}:00.0", g // 4)
                    for g in range(gpus)
                ),
            )
            for n in range(1, nodes + 1)
        )
    )
