"""What is offered: GPU models, shapes of machines, images to start from. The same in every region."""

from typing import Any, ClassVar

import pgtrigger
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.catalog.states import LAUNCHABLE, OFFER, OfferState
from apps.core.actor import Actor
from apps.core.ids import IdField
from apps.core.permissions import Permission


class CatalogQuerySet(models.QuerySet[Any]):
    """Rows that are the same for everybody who may read the catalogue anywhere."""

    def visible_to(self, actor: Actor) -> "CatalogQuerySet":
        may_read = any(Permission.CATALOG_READ in held for held in actor.grants.values())
        return self if may_read else self.none()


class GpuModel(models.Model):
    """A kind of GPU; nodes report theirs by one of its `aliases`."""

    id = IdField("gpm", primary_key=True)
    slug = models.SlugField(_("short name"), max_length=60, unique=True)
    vendor = models.CharField(_("vendor"), max_length=40)
    name = models.CharField(_("name"), max_length=80)
    memory_gib = models.PositiveIntegerField(_("memory"))
    tflops = models.PositiveIntegerField(_("TFLOPS (FP16)"), null=True, blank=True)
    has_mig = models.BooleanField(_("can be partitioned"), default=False)
    aliases = ArrayField(models.CharField(max_length=80), default=list, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    objects = CatalogQuerySet.as_manager()

    class Meta:
        ordering = ("vendor", "name")
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(memory_gib__gt=0), name="catalog_gpu_has_memory")
        ]

    def __str__(self) -> str:
        return f"{self.vendor} {self.name}"


class OfferQuerySet(CatalogQuerySet):
    def launchable(self) -> "OfferQuerySet":
        return self.filter(state__in=LAUNCHABLE)


class InstanceType(models.Model):
    """A shape: what a machine of it has."""

    id = IdField("typ", primary_key=True)
    slug = models.SlugField(_("short name"), max_length=60, unique=True)
    name = models.CharField(_("name"), max_length=80)
    description = models.CharField(_("description"), max_length=300, blank=True)
    vcpus = models.PositiveIntegerField(_("vCPUs"))
    memory_mib = models.PositiveIntegerField(_("memory"))
    disk_gib = models.PositiveIntegerField(_("disk"))
    gpu_model = models.ForeignKey(GpuModel, models.PROTECT, null=True, blank=True, related_name="types")
    gpus = models.PositiveSmallIntegerField(_("GPUs"), default=0)
    cluster_kinds = ArrayField(models.CharField(max_length=20), default=list, blank=True)
    state = models.CharField(_("state"), max_length=12, choices=OfferState.choices, default=OfferState.ACTIVE)
    position = models.PositiveSmallIntegerField(default=100)
    created_at = models.DateTimeField(_("created"), db_default=Now())

    objects = OfferQuerySet.as_manager()

    class Meta:
        ordering = ("position", "slug")
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(vcpus__gt=0, memory_mib__gt=0, disk_gib__gt=0), name="catalog_type_has_a_size"
            ),
            models.CheckConstraint(
                name="catalog_type_gpus_have_a_model",
                condition=Q(gpu_model=None, gpus=0) | Q(gpu_model__isnull=False, gpus__gt=0),
            ),
            models.CheckConstraint(condition=Q(state__in=OfferState.values), name="catalog_type_state"),
        ]
        triggers: ClassVar = [pgtrigger.FSM(name="states", field="state", transitions=OFFER.edges())]

    def __str__(self) -> str:
        return self.name

    @property
    def product(self) -> str:
        """What billing calls an hour of it."""
        return f"type:{self.slug}"

    @property
    def memory_gib(self) -> float:
        return self.memory_mib / 1024


class Image(models.Model):
    """A disk to start from: one version of one system.

    `source` is a path the regions' workers can read or the far side's own name for it;
    `cluster_kinds` names the drivers that can start it, none means all.
    """

    id = IdField("img", primary_key=True)
    slug = models.SlugField(_("short name"), max_length=60, unique=True)
    name = models.CharField(_("name"), max_length=80)
    version = models.CharField(_("version"), max_length=40)
    os = models.CharField(_("system"), max_length=40)
    description = models.CharField(_("description"), max_length=300, blank=True)
    checksum = models.CharField(_("checksum"), max_length=80, blank=True)
    size_bytes = models.PositiveBigIntegerField(_("size"), default=0)
    min_disk_gib = models.PositiveIntegerField(_("least disk"), default=1)
    min_memory_mib = models.PositiveIntegerField(_("least memory"), default=128)
    default_user = models.CharField(_("signs in as"), max_length=32, default="user")
    source = models.CharField(_("source"), max_length=500, blank=True)
    cluster_kinds = ArrayField(models.CharField(max_length=20), default=list, blank=True)
    state = models.CharField(_("state"), max_length=12, choices=OfferState.choices, default=OfferState.ACTIVE)
    position = models.PositiveSmallIntegerField(default=100)
    created_at = models.DateTimeField(_("added"), db_default=Now())

    objects = OfferQuerySet.as_manager()

    class Meta:
        ordering = ("position", "name", "-version")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["name", "version"], name="catalog_image_version_once"),
            models.CheckConstraint(condition=Q(state__in=OfferState.values), name="catalog_image_state"),
            models.CheckConstraint(
                condition=Q(checksum="") | Q(checksum__regex=r"^sha256:[0-9a-f]{64}$"),
                name="catalog_image_checksum",
            ),
        ]
        triggers: ClassVar = [pgtrigger.FSM(name="states", field="state", transitions=OFFER.edges())]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"
