"""Supply in one go: the demonstration's regions, and a region of real machines beside the portal.

Both may be called again: what exists is left alone. Neither may be called in a transaction, because
clusters are asked for their inventory.
"""

from collections.abc import Mapping
from typing import Any

from apps.catalog import services as catalog
from apps.catalog.models import GpuModel, Image, InstanceType
from apps.catalog.specs import ImageSpec
from apps.core.actor import Actor
from apps.gpupools import plans
from apps.gpupools.models import GpuDevice, GpuPool
from apps.gpupools.services import pools
from apps.gpupools.specs import PoolSpec
from apps.networks.services import ensure_network
from apps.nodes import services as nodes
from apps.nodes.models import Node, ResourceGroup
from apps.nodes.reconcilers import sync_cluster
from apps.regions import services as regions
from apps.regions.models import Cluster, Region
from apps.regions.specs import ClusterSpec
from apps.storage.services import ensure_datastore


def build_supply(*, actor: Actor, world_path: str, latency_ms: int = 0) -> list[Region]:
    """Make the three simulated regions with clusters, ready nodes and GPU pools, and the catalogue."""
    build_catalogue(actor=actor)
    return [_build_place(actor, place, world_path, latency_ms) for place in plans.PLACES]


def build_catalogue(*, actor: Actor) -> None:
    """GPU models, instance types and images of the demonstration."""
    models = {model.slug: str(model.pk) for model in GpuModel.objects.all()}
    for model in plans.MODELS:
        if model.slug not in models:
            models[model.slug] = str(catalog.create_model(actor=actor, spec=model).pk)
    known = set(InstanceType.objects.values_list("slug", flat=True))
    for kind in plans.types(models):
        if kind.slug not in known:
            catalog.create_instance_type(actor=actor, spec=kind)
    known = set(Image.objects.values_list("slug", flat=True))
    for image in plans.IMAGES:
        if image.slug not in known:
            catalog.create_image(actor=actor, spec=image)


def build_local(
    *, actor: Actor, config: Mapping[str, Any], image: ImageSpec, name: str = "This machine"
) -> Region:
    """Make the region `local`: one libvirt endpoint, its host in service, and an image it can start."""
    region = Region.objects.filter(slug="local").first()
    if region is None:
        region = regions.create_region(actor=actor, slug="local", name=name, location="Here")
    if not InstanceType.objects.filter(slug=plans.TINY.slug).exists():
        catalog.create_instance_type(actor=actor, spec=plans.TINY)
    _offer(actor, image)
    spec = ClusterSpec(slug="libvirt", name="libvirt", kind="libvirt", config=config, auto_enrol=True)
    cluster = _cluster(actor, region, spec)
    ensure_network(actor=actor, cluster=cluster, name=str(config.get("network", "default")))
    sync_cluster(cluster_id=cluster.pk)
    return region


def _offer(actor: Actor, image: ImageSpec) -> None:
    """Have the image in the catalogue with the bytes that are there now."""
    known = Image.objects.filter(slug=image.slug).first()
    if known is None:
        catalog.create_image(actor=actor, spec=image)
    elif (known.checksum, known.source) != (image.checksum, image.source):
        catalog.replace_image(
            actor=actor,
            image=known,
            checksum=image.checksum,
            source=image.source,
            size_bytes=image.size_bytes,
        )


def _build_place(actor: Actor, place: plans.Place, world_path: str, latency_ms: int) -> Region:
    known: Region | None = Region.objects.filter(slug=place.slug).first()
    if known is not None:
        return known
    region = regions.create_region(
        actor=actor, slug=place.slug, name=place.name, location=place.location, country=place.country
    )
    for zone in sorted({rack.zone for rack in place.racks}):
        regions.create_zone(actor=actor, region=region, slug=zone, name=zone)
    config = {
        "path": world_path,
        "world": place.slug,
        "nodes": [_rack(rack) for rack in place.racks],
        "latency_ms": latency_ms,
    }
    spec = ClusterSpec(slug="sim", name="Simulated cloud", kind="sim", config=config, auto_enrol=True)
    cluster = _cluster(actor, region, spec)
    ensure_network(actor=actor, cluster=cluster, name="default", cidr="10.80.0.0/16")
    sync_cluster(cluster_id=cluster.pk)
    _build_pools(actor, region, dict(place.shared))
    _build_groups(actor, region)
    return region


def _rack(rack: plans.Rack) -> dict[str, Any]:
    gpu = {"gpus": rack.gpus, "gpu_model": rack.model} if rack.model else {"gpus": 0}
    memory = next((model.memory_gib for model in plans.MODELS if model.slug == rack.model), 0)
    return {
        "prefix": rack.prefix,
        "count": rack.count,
        "vcpus": rack.vcpus,
        "memory_gib": rack.memory_gib,
        "disk_gib": 16_000,
        "zone": rack.zone,
        "rack": rack.rack,
        "gpu_memory_gib": memory,
        **gpu,
    }


def _cluster(actor: Actor, region: Region, spec: ClusterSpec) -> Cluster:
    known = Cluster.objects.filter(region=region, slug=spec.slug).first()
    cluster: Cluster = known or regions.create_cluster(actor=actor, region=region, spec=spec)
    ensure_datastore(actor=actor, cluster=cluster, name="local disks")
    return cluster


def _build_pools(actor: Actor, region: Region, shared: Mapping[str, int]) -> None:
    """A pool per GPU model, of all its cards in the region."""
    loose = GpuDevice.objects.filter(region=region, pool=None).select_related("model")
    for model in sorted({one.model for one in loose}, key=lambda one: one.slug):
        ratio = shared.get(model.slug, 1)
        spec = PoolSpec(
            slug=f"{model.slug}-shares" if ratio > 1 else model.slug,
            name=f"{model.name} shares" if ratio > 1 else model.name,
            gpu_model_id=model.pk,
            isolation="time_slice" if ratio > 1 else "passthrough",
            sharing_ratio=ratio,
            placement="spread" if ratio > 1 else "binpack",
        )
        pool = GpuPool.objects.filter(region=region, slug=spec.slug).first()
        pool = pool or pools.create_pool(actor=actor, region=region, spec=spec)
        pools.add_gpus(
            actor=actor, pool=pool, device_ids=[one.pk for one in loose if one.model_id == model.pk]
        )


def _build_groups(actor: Actor, region: Region) -> None:
    """The nodes without GPUs as a group of their own."""
    plain = Node.objects.filter(region=region, gpus=None)
    if plain.exists() and not ResourceGroup.objects.filter(region=region, slug="general").exists():
        group = nodes.create_group(actor=actor, region=region, slug="general", name="General purpose")
        nodes.set_group_nodes(actor=actor, group=group, node_ids=list(plain.values_list("pk", flat=True)))
