"""Instances, the tickets that open their terminals, what was measured, and what was seen that is nobody's."""

from typing import ClassVar

import pgtrigger
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.billing.specs import Rate, from_json
from apps.catalog.models import Image, InstanceType
from apps.core.envelope import seal, unseal
from apps.core.ids import IdField
from apps.core.leases import Due, Tended
from apps.core.money import PriceField
from apps.core.permissions import Permission
from apps.core.tenancy import TenantQuerySet
from apps.instances.states import ENDED, MACHINE, MOVING, Access, Desired, Health, State, Work
from apps.nodes.models import Node
from apps.regions.models import Cluster, Region
from apps.teams.models import Team, Workspace

PREFIX = "hai-"


class InstanceQuerySet(Due, TenantQuerySet):
    read_permission = Permission.INSTANCE_READ
    workspace_path = "workspace_id"
    region_path = "region_id"

    def live(self) -> "InstanceQuerySet":
        """All that have not been deleted."""
        return self.exclude(state=State.DELETED)

    def placed(self) -> "InstanceQuerySet":
        """Those that hold something of a node: their machine is not proven gone."""
        return self.filter(released_at=None)

    def with_names(self) -> "InstanceQuerySet":
        """What a list or a page names, in one statement; not the team and its workspace, whose rows a
        region's staff may not see and which a join would let hide the machine too."""
        return self.select_related("region", "cluster", "node", "type__gpu_model", "image")


class Instance(Tended):
    """A machine that a team rents."""

    id = IdField("ins", primary_key=True)
    team = models.ForeignKey(Team, models.PROTECT, related_name="+", db_index=False)
    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+", db_index=False)
    region = models.ForeignKey(Region, models.PROTECT, related_name="+", db_index=False)
    cluster = models.ForeignKey(Cluster, models.PROTECT, related_name="+", db_index=False)
    node = models.ForeignKey(Node, models.PROTECT, related_name="+", db_index=False)
    type = models.ForeignKey(InstanceType, models.PROTECT, related_name="+", db_index=False)
    image = models.ForeignKey(Image, models.PROTECT, related_name="+", db_index=False)
    team_name = models.CharField(_("team"), max_length=80)
    name = models.CharField(_("name"), max_length=63)
    desired = models.CharField(max_length=8, choices=Desired.choices, default=Desired.RUNNING)
    state = models.CharField(_("state"), max_length=12, choices=State.choices, default=State.PENDING)
    health = models.CharField(_("health"), max_length=12, choices=Health.choices, default=Health.UNKNOWN)
    message = models.TextField(_("message"), blank=True)

    vcpus = models.PositiveIntegerField(_("vCPUs"))
    memory_mib = models.PositiveIntegerField(_("memory"))
    disk_gib = models.PositiveIntegerField(_("disk"))
    gpus = models.PositiveSmallIntegerField(_("GPUs"), default=0)
    pci_addresses = ArrayField(models.CharField(max_length=40), default=list)  # whole cards
    mdev_uuids = ArrayField(models.CharField(max_length=40), default=list)  # shares of cards

    address = models.CharField(_("address"), max_length=255, blank=True)
    ssh_port = models.PositiveIntegerField(default=22)
    host_key = models.TextField(blank=True)
    user = models.CharField(_("signs in as"), max_length=32)
    ssh_keys = ArrayField(models.TextField(), default=list)
    user_data = models.JSONField(null=True)
    access_public_key = models.TextField(editable=False)
    access_private_key = models.TextField(editable=False)  # sealed

    rates = models.JSONField(default=list, editable=False)
    rest_rates = models.JSONField(default=list, editable=False)
    hourly = PriceField(verbose_name=_("price per hour"), default=0)
    currency = models.CharField(max_length=3)

    operation_id = IdField("op", null=True, editable=False)
    work = models.CharField(
        max_length=12, choices=Work.choices, default=Work.NONE, blank=True, editable=False
    )
    work_params = models.JSONField(default=dict, editable=False)
    asked_at = models.DateTimeField(null=True, editable=False)  # when the driver was last asked to act

    created_by_id = IdField("usr", null=True, editable=False)
    created_by_label = models.CharField(_("launched by"), max_length=200)
    created_at = models.DateTimeField(_("created"), db_default=Now())
    started_at = models.DateTimeField(_("running since"), null=True)
    deleted_at = models.DateTimeField(_("deleted"), null=True)
    proof_at = models.DateTimeField(null=True, editable=False)  # when it was last seen to run
    missed_at = models.DateTimeField(null=True, editable=False)  # since when it is looked for in vain
    released_at = models.DateTimeField(null=True, editable=False)
    absence = models.JSONField(null=True, editable=False)  # the proof that let go of what it held

    objects = InstanceQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["workspace", "name"], condition=~Q(state=State.DELETED), name="instances_name_once"
            ),
            models.CheckConstraint(condition=Q(state__in=State.values), name="instances_state"),
            models.CheckConstraint(condition=Q(desired__in=Desired.values), name="instances_desired"),
            models.CheckConstraint(
                condition=~Q(state=State.DELETED) | Q(released_at__isnull=False, absence__isnull=False),
                name="instances_deleted_on_proof",
            ),
            models.CheckConstraint(
                condition=Q(released_at=None) | Q(absence__isnull=False), name="instances_released_on_proof"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["team", "-id"], name="instances_team"),
            models.Index(fields=["workspace", "-id"], name="instances_workspace"),
            models.Index(fields=["region", "-id"], name="instances_region"),
            models.Index(fields=["cluster"], condition=Q(released_at=None), name="instances_on_cluster"),
            models.Index(fields=["node"], condition=Q(released_at=None), name="instances_on_node"),
            models.Index(fields=["due_at"], condition=~Q(due_at=None), name="instances_due"),
        ]
        triggers: ClassVar = [pgtrigger.FSM(name="states", field="state", transitions=MACHINE.edges())]

    def __str__(self) -> str:
        return self.name

    @property
    def machine_name(self) -> str:
        """What its machine is called wherever it is: ours, and always the same."""
        return f"{PREFIX}{self.pk}"

    @property
    def is_busy(self) -> bool:
        """Something is under way that others must wait for."""
        return self.operation_id is not None or self.state in MOVING

    @property
    def is_ended(self) -> bool:
        return self.state in ENDED

    @property
    def running_rates(self) -> tuple[Rate, ...]:
        return from_json(self.rates)

    @property
    def resting_rates(self) -> tuple[Rate, ...]:
        return from_json(self.rest_rates)

    @property
    def private_key(self) -> str:
        """The portal's own key to the machine, opened."""
        return unseal(self.access_private_key, context=self._sealed_for).decode()

    def seal_private_key(self, text: str) -> None:
        self.access_private_key = seal(text.encode(), context=self._sealed_for)

    @property
    def _sealed_for(self) -> str:
        return f"instances_instance.access_private_key:{self.pk}"


class Ticket(models.Model):
    """Opens a terminal once, for a few seconds; only the hash of its secret is kept."""

    id = IdField("tkt", primary_key=True)
    instance = models.ForeignKey(Instance, models.CASCADE, related_name="+")
    team_id = IdField("team", editable=False)
    region_id = IdField("reg", editable=False)
    user_id = IdField("usr", editable=False)
    actor_label = models.CharField(max_length=200)
    access = models.CharField(max_length=10, choices=Access.choices)
    origin = models.CharField(max_length=255)
    secret_hash = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.access} {self.instance_id}"


class SampleQuerySet(TenantQuerySet):
    read_permission = Permission.INSTANCE_READ
    region_path = "region_id"


class Sample(models.Model):
    """The hypervisor's counters of a machine at a moment; running totals."""

    id = models.BigAutoField(primary_key=True)
    instance = models.ForeignKey(Instance, models.CASCADE, related_name="+", db_index=False)
    team_id = IdField("team", editable=False)
    region_id = IdField("reg", editable=False)
    at = models.DateTimeField()
    cpu_ns = models.BigIntegerField()
    net_rx_bytes = models.BigIntegerField()
    net_tx_bytes = models.BigIntegerField()
    disk_read_bytes = models.BigIntegerField()
    disk_write_bytes = models.BigIntegerField()
    memory_used_mib = models.PositiveIntegerField()
    memory_total_mib = models.PositiveIntegerField()
    gpu_busy = ArrayField(models.FloatField(), default=list)  # in percent, one for each of its cards
    gpu_memory = ArrayField(models.FloatField(), default=list)

    objects = SampleQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["instance", "at"], name="instances_sample_once")
        ]
        indexes: ClassVar = [models.Index(fields=["at"], name="instances_sample_at")]

    def __str__(self) -> str:
        return f"{self.instance_id} {self.at.isoformat()}"


class HourOfUse(models.Model):
    """How much of what it has a machine used in an hour (UTC), in percent; summed up from its samples.

    `seconds` is how long it was measured; `gpu_seconds` the same of its cards, 0 where nobody could tell.
    """

    id = models.BigAutoField(primary_key=True)
    instance = models.ForeignKey(Instance, models.CASCADE, related_name="+", db_index=False)
    team_id = IdField("team", editable=False)
    region_id = IdField("reg", editable=False)
    type_id = IdField("typ", editable=False)  # what it was then
    hour = models.DateTimeField()
    seconds = models.FloatField()
    cpu_mean = models.FloatField()
    cpu_most = models.FloatField()
    memory_mean = models.FloatField()
    memory_most = models.FloatField()
    gpu_seconds = models.FloatField(default=0)
    gpu_mean = models.FloatField(default=0)
    gpu_most = models.FloatField(default=0)  # of the busiest card
    gpu_memory_most = models.FloatField(default=0)  # of the fullest card
    gpus_at_work = models.PositiveSmallIntegerField(default=0)  # cards that were not idle throughout

    objects = SampleQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["instance", "hour"], name="instances_hour_once")
        ]
        indexes: ClassVar = [
            models.Index(fields=["team_id", "hour"], name="instances_hour_team"),
            models.Index(fields=["hour"], name="instances_hour_at"),
        ]

    def __str__(self) -> str:
        return f"{self.instance_id} {self.hour.isoformat()}"


class Stray(models.Model):
    """A machine of ours in a listing that no live row owns; deleted when seen again long enough after."""

    cluster = models.ForeignKey(Cluster, models.CASCADE, related_name="+")
    name = models.CharField(max_length=120)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["cluster", "name"], name="instances_stray_once")
        ]

    def __str__(self) -> str:
        return self.name
