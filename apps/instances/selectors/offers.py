"""What a launch asks for, looked up: region, type and image, and what follows from them."""

import uuid
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, cached_property
from typing import Any

from django.db.models import Model
from django.utils.translation import gettext as _

from apps.billing.specs import Rate
from apps.catalog.models import GpuModel, Image, InstanceType
from apps.catalog.states import LAUNCHABLE
from apps.core import statements
from apps.core.errors import Invalid
from apps.gpupools.models import GpuPool
from apps.gpupools.specs import Wanted
from apps.instances.errors import BadShape
from apps.instances.specs import InstanceSpec
from apps.policies import selectors as policies
from apps.policies.errors import PolicyRefused
from apps.policies.specs import Demand
from apps.regions.models import Region

_MDEV = uuid.UUID("5b0c9f0e-6f0e-4c63-9d1f-0f6a1f8f5a11")


@dataclass(frozen=True)
class Offer:
    """A region, a type and an image that exist and may be launched together."""

    region: Region
    type: InstanceType
    image: Image

    def disk_gib(self, spec: InstanceSpec) -> int:
        return spec.disk_gib or self.type.disk_gib

    def rates(self, spec: InstanceSpec) -> list[Rate]:
        """What the running machine is charged by: its type, and disk beyond what the type includes."""
        return rates_of(self.type, self.disk_gib(spec))

    def rest_rates(self, spec: InstanceSpec) -> list[Rate]:
        """What the stopped machine is charged by: its disk."""
        return rest_rates_of(self.disk_gib(spec))

    @cached_property
    def cluster_kinds(self) -> tuple[str, ...] | None:
        """The drivers that can run it; None means any."""
        named = [set(kinds) for kinds in (self.type.cluster_kinds, self.image.cluster_kinds) if kinds]
        return tuple(sorted(set.intersection(*named))) if named else None

    def wanted(self, spec: InstanceSpec) -> Wanted:
        return Wanted(
            region_id=self.region.pk,
            vcpus=self.type.vcpus,
            memory_mib=self.type.memory_mib,
            disk_gib=self.disk_gib(spec),
            gpu_model_id=self.type.gpu_model_id,
            gpus=self.type.gpus,
            cluster_kinds=self.cluster_kinds,
        )

    def demand(self, spec: InstanceSpec) -> Demand:
        return Demand(
            region_id=self.region.pk,
            vcpus=self.type.vcpus,
            memory_mib=self.type.memory_mib,
            disk_gib=self.disk_gib(spec),
            instances=1,
            gpu_model=self.type.gpu_model.slug if self.type.gpu_model else "",
            gpus=self.type.gpus,
        )

    def is_shared(self, pool_id: str | None) -> bool:
        """Whether the pool sells shares of its cards."""
        return bool(pool_id) and GpuPool.objects.filter(pk=pool_id, sharing_ratio__gt=1).exists()


def find(spec: InstanceSpec) -> Offer:
    """Look the wish up; raises Invalid for what does not exist, BadShape for what does not fit together."""
    return put_together(spec, *_look_up(spec))


def put_together(
    spec: InstanceSpec, region: Region | None, kind: InstanceType | None, image: Image | None
) -> Offer:
    """What has been looked up as one offer; raises as `find` does."""
    if region is None:
        raise Invalid(_("There is no such region."), field="region")
    if kind is None or kind.state not in LAUNCHABLE:
        raise Invalid(_("There is no such instance type."), field="type")
    if image is None or image.state not in LAUNCHABLE:
        raise Invalid(_("There is no such image."), field="image")
    offer = Offer(region, kind, image)
    check_shape(kind, image, offer.disk_gib(spec))
    if offer.cluster_kinds == ():
        raise BadShape(_("This image does not run on machines of this type."), field="image")
    return offer


def _look_up(spec: InstanceSpec) -> tuple[Region | None, InstanceType | None, Image | None]:
    """The region if customers may know of it, the type with its GPU model, and the image; one statement."""
    row = statements.fetch_one(_find(), [spec.region, spec.type, spec.image])
    found: list[Any] = []
    for model in _MODELS:
        columns = statements.columns_of(model)
        found.append(columns.read(row))
        row = row[columns.count :]
    region, kind, gpu_model, image = found
    if kind is not None:
        kind.gpu_model = gpu_model
    return region, kind, image


_MODELS: tuple[type[Model], ...] = (Region, InstanceType, GpuModel, Image)


@cache
def _find() -> str:
    columns = ", ".join(
        statements.columns_of(model).spelled(alias)
        for model, alias in zip(_MODELS, ("r", "t", "m", "i"), strict=True)
    )
    return (
        f"SELECT {columns} FROM (SELECT 1) AS one"  # noqa: S608 - made of column names
        " LEFT JOIN regions_region r ON r.slug = %s AND r.state <> 'closed'"
        " LEFT JOIN catalog_instancetype t ON t.slug = %s"
        " LEFT JOIN catalog_gpumodel m ON m.id = t.gpu_model_id"
        " LEFT JOIN catalog_image i ON i.slug = %s"
    )


def check_shape(kind: InstanceType, image: Image, disk_gib: int) -> None:
    """Raise BadShape unless the image fits the type and the disk."""
    if disk_gib < kind.disk_gib:
        raise BadShape(
            _("The disk has at least %(least)s GiB with this type.") % {"least": kind.disk_gib},
            field="disk_gib",
        )
    if disk_gib < image.min_disk_gib:
        raise BadShape(
            _("This image needs %(least)s GiB of disk.") % {"least": image.min_disk_gib}, field="disk_gib"
        )
    if kind.memory_mib < image.min_memory_mib:
        raise BadShape(
            _("This image needs %(least)s MiB of memory.") % {"least": image.min_memory_mib}, field="type"
        )


def require_allowed(*, team_id: str, offer: Offer) -> None:
    """Raise PolicyRefused when the team's policies name neither the type nor the image. Quotas are
    counted where the capacity is taken."""
    types, images = policies.choices_of(team_id)
    if not types.allows(offer.type.slug):
        raise PolicyRefused(_("Your team's policy does not allow this instance type."), field="type")
    if not images.allows(offer.image.slug):
        raise PolicyRefused(_("Your team's policy does not allow this image."), field="image")


def rates_of(kind: InstanceType, disk_gib: int) -> list[Rate]:
    extra = disk_gib - kind.disk_gib
    machine = Rate(kind.product)
    return [machine, Rate("disk", Decimal(extra))] if extra > 0 else [machine]


def rest_rates_of(disk_gib: int) -> list[Rate]:
    return [Rate("disk", Decimal(disk_gib))]


def mdev_of(slice_id: str) -> str:
    """The name of a share of a card where the machine runs: always the same for the same share."""
    return str(uuid.uuid5(_MDEV, slice_id))
