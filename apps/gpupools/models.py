"""GPUs: the cards, what can be held of them, who holds it, and the pools they are sold from."""

from typing import ClassVar

import pgtrigger
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.catalog.models import GpuModel
from apps.core.ids import IdField
from apps.core.permissions import Permission
from apps.core.tenancy import TenantQuerySet
from apps.gpupools.states import POOL, DeviceHealth, Isolation, Packing, PoolState, Security
from apps.nodes.models import Node
from apps.regions.models import Region
from apps.teams.models import Team


class GpuPoolQuerySet(TenantQuerySet):
    read_permission = Permission.POOL_READ
    team_path = None
    region_path = "region_id"

    def live(self) -> "GpuPoolQuerySet":
        return self.exclude(state=PoolState.RETIRED)


class GpuPool(models.Model):
    """GPUs of one model in a region, sold together; private when it names a team.

    An exclusive pool has a ratio of 1; a shared one sells every card `sharing_ratio` times.
    """

    id = IdField("pool", primary_key=True)
    region = models.ForeignKey(Region, models.PROTECT, related_name="pools")
    gpu_model = models.ForeignKey(GpuModel, models.PROTECT, related_name="pools")
    team = models.ForeignKey(Team, models.PROTECT, null=True, blank=True, related_name="+")
    name = models.CharField(_("name"), max_length=80)
    slug = models.SlugField(_("short name"), max_length=60)
    isolation = models.CharField(
        _("isolation"), max_length=12, choices=Isolation.choices, default=Isolation.PASSTHROUGH
    )
    sharing_ratio = models.PositiveSmallIntegerField(_("sharing ratio"), default=1)
    time_quantum_s = models.PositiveSmallIntegerField(_("time quantum"), default=30)
    security_level = models.CharField(
        _("security level"), max_length=8, choices=Security.choices, default=Security.MEDIUM
    )
    placement = models.CharField(
        _("placement"), max_length=8, choices=Packing.choices, default=Packing.BINPACK
    )
    state = models.CharField(_("state"), max_length=12, choices=PoolState.choices, default=PoolState.ACTIVE)
    created_at = models.DateTimeField(_("created"), db_default=Now())

    objects = GpuPoolQuerySet.as_manager()

    class Meta:
        ordering = ("region__name", "name")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["region", "slug"], name="gpupools_pool_slug"),
            models.CheckConstraint(condition=Q(sharing_ratio__range=(1, 10)), name="gpupools_ratio"),
            models.CheckConstraint(condition=Q(time_quantum_s__range=(10, 120)), name="gpupools_quantum"),
            models.CheckConstraint(
                name="gpupools_whole_cards_are_not_shared",
                condition=~Q(isolation=Isolation.PASSTHROUGH) | Q(sharing_ratio=1),
            ),
            models.CheckConstraint(condition=Q(state__in=PoolState.values), name="gpupools_pool_state"),
            models.CheckConstraint(condition=Q(isolation__in=Isolation.values), name="gpupools_isolation"),
        ]
        triggers: ClassVar = [pgtrigger.FSM(name="states", field="state", transitions=POOL.edges())]

    def __str__(self) -> str:
        return self.name

    @property
    def is_shared(self) -> bool:
        return self.sharing_ratio > 1


class GpuDeviceQuerySet(TenantQuerySet):
    read_permission = Permission.GPU_READ
    team_path = None
    region_path = "region_id"


class GpuDevice(models.Model):
    """A card in a node. What the inventory no longer shows becomes `missing`; it is never freed by that."""

    id = IdField("gpu", primary_key=True)
    region = models.ForeignKey(Region, models.PROTECT, related_name="+")
    node = models.ForeignKey(Node, models.PROTECT, related_name="gpus")
    model = models.ForeignKey(GpuModel, models.PROTECT, related_name="devices")
    pool = models.ForeignKey(GpuPool, models.PROTECT, null=True, related_name="devices")
    uuid = models.CharField(_("serial"), max_length=80, unique=True)
    pci_address = models.CharField(_("PCI address"), max_length=40)
    numa_node = models.SmallIntegerField(_("NUMA node"), default=0)
    memory_mib = models.PositiveIntegerField(_("memory"))
    health = models.CharField(
        _("health"), max_length=12, choices=DeviceHealth.choices, default=DeviceHealth.HEALTHY
    )
    is_isolated = models.BooleanField(_("isolated"), default=False)
    last_seen_at = models.DateTimeField(_("last seen"), null=True)
    created_at = models.DateTimeField(_("added"), db_default=Now())

    objects = GpuDeviceQuerySet.as_manager()

    class Meta:
        ordering = ("node__name", "pci_address")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["node", "pci_address"],
                condition=~Q(health=DeviceHealth.MISSING),
                name="gpupools_one_card_per_slot",
            ),
            models.CheckConstraint(condition=Q(health__in=DeviceHealth.values), name="gpupools_health"),
        ]

    def __str__(self) -> str:
        return self.uuid


class GpuSlice(models.Model):
    """What can be held: a card, or one of its shares."""

    id = IdField("gps", primary_key=True)
    device = models.ForeignKey(GpuDevice, models.PROTECT, related_name="slices")
    index = models.PositiveSmallIntegerField()
    is_offered = models.BooleanField(default=True)

    class Meta:
        ordering = ("device_id", "index")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["device", "index"], name="gpupools_slice_index"),
            models.CheckConstraint(condition=Q(index__lt=10), name="gpupools_slice_index_small"),
        ]

    def __str__(self) -> str:
        return f"{self.device_id}/{self.index}"


class Reservation(models.Model):
    """What one holder (an instance) has of a node. Ended, never deleted, never shrunk by lack of news."""

    id = IdField("rsv", primary_key=True)
    holder_id = models.CharField(max_length=40)
    team_id = IdField("team")
    region = models.ForeignKey(Region, models.PROTECT, related_name="+")
    node = models.ForeignKey(Node, models.PROTECT, related_name="+")
    pool = models.ForeignKey(GpuPool, models.PROTECT, null=True, related_name="+")
    gpu_model = models.ForeignKey(GpuModel, models.PROTECT, null=True, related_name="+")
    group_id = IdField("grp", null=True)
    vcpus = models.PositiveIntegerField()
    memory_mib = models.PositiveIntegerField()
    disk_gib = models.PositiveIntegerField()
    gpus = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())
    released_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["holder_id"],
                condition=Q(released_at=None),
                name="gpupools_one_reservation_per_holder",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["node"], condition=Q(released_at=None), name="gpupools_reserved_on_node")
        ]

    def __str__(self) -> str:
        return f"{self.holder_id} on {self.node_id}"


class GpuHold(models.Model):
    """Who has a slice. At most one live hold per slice, whatever anybody's code believes."""

    id = IdField("hold", primary_key=True)
    slice = models.ForeignKey(GpuSlice, models.PROTECT, related_name="holds")
    reservation = models.ForeignKey(Reservation, models.PROTECT, related_name="holds")
    held_at = models.DateTimeField(db_default=Now())
    released_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["slice"], condition=Q(released_at=None), name="gpupools_one_live_hold_per_slice"
            ),
            models.CheckConstraint(
                condition=Q(released_at=None) | Q(released_at__gte=F("held_at")),
                name="gpupools_held_before_released",
            ),
        ]
        triggers: ClassVar = [
            pgtrigger.Protect(name="never_deleted", operation=pgtrigger.Delete),
            # A hold once ended stays ended: a slice comes back to life only by a new hold.
            pgtrigger.Protect(
                name="ended_for_good",
                operation=pgtrigger.Update,
                condition=pgtrigger.Q(old__released_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.slice_id} for {self.reservation_id}"
