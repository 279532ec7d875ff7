"""Hosts: what they have, what is used of it, where they are in their life."""

from typing import ClassVar

import pgtrigger
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.core.ids import IdField
from apps.core.permissions import Permission
from apps.core.tenancy import TenantQuerySet
from apps.nodes.states import MACHINE, SERVING, Health, State
from apps.regions.models import Cluster, Region, Zone


class NodeQuerySet(TenantQuerySet):
    read_permission = Permission.NODE_READ
    team_path = None
    region_path = "region_id"

    def present(self) -> "NodeQuerySet":
        return self.exclude(state=State.RETIRED)

    def serving(self) -> "NodeQuerySet":
        return self.filter(state__in=SERVING)


class Node(models.Model):
    """A physical or virtual host of a cluster.

    What is used moves only by conditional statements that hold it within the total; the row's lock is
    also what makes the choice of GPUs on the node safe.
    """

    id = IdField("node", primary_key=True)
    region = models.ForeignKey(Region, models.PROTECT, related_name="nodes")
    cluster = models.ForeignKey(Cluster, models.PROTECT, related_name="nodes")
    zone = models.ForeignKey(Zone, models.PROTECT, null=True, related_name="nodes")
    name = models.CharField(_("name"), max_length=120)
    state = models.CharField(_("state"), max_length=12, choices=State.choices, default=State.ENROLLING)
    health = models.CharField(_("health"), max_length=12, choices=Health.choices, default=Health.HEALTHY)
    problem = models.CharField(_("problem"), max_length=300, blank=True)
    note = models.CharField(_("note"), max_length=300, blank=True)
    vcpus = models.PositiveIntegerField(_("vCPUs"), default=0)
    vcpus_used = models.IntegerField(default=0)
    memory_mib = models.PositiveIntegerField(_("memory"), default=0)
    memory_mib_used = models.IntegerField(default=0)
    disk_gib = models.PositiveIntegerField(_("disk"), default=0)
    disk_gib_used = models.IntegerField(default=0)
    rack = models.CharField(_("rack"), max_length=40, blank=True)
    hypervisor = models.CharField(_("hypervisor"), max_length=20, blank=True)
    labels = models.JSONField(default=dict)
    operation_id = IdField("op", null=True, editable=False)
    last_seen_at = models.DateTimeField(_("last seen"), null=True, editable=False)
    state_changed_at = models.DateTimeField(db_default=Now(), editable=False)
    created_at = models.DateTimeField(_("added"), db_default=Now())

    objects = NodeQuerySet.as_manager()

    class Meta:
        ordering = ("name",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["cluster", "name"], name="nodes_name"),
            models.CheckConstraint(condition=Q(state__in=State.values), name="nodes_state"),
            models.CheckConstraint(condition=Q(health__in=Health.values), name="nodes_health"),
            models.CheckConstraint(
                condition=Q(vcpus_used__gte=0, vcpus_used__lte=F("vcpus")), name="nodes_vcpus_fit"
            ),
            models.CheckConstraint(
                condition=Q(memory_mib_used__gte=0, memory_mib_used__lte=F("memory_mib")),
                name="nodes_memory_fits",
            ),
            models.CheckConstraint(
                condition=Q(disk_gib_used__gte=0, disk_gib_used__lte=F("disk_gib")), name="nodes_disk_fits"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["region", "state"], name="nodes_region_state")]
        triggers: ClassVar = [pgtrigger.FSM(name="states", field="state", transitions=MACHINE.edges())]

    def __str__(self) -> str:
        return self.name


class ResourceGroupQuerySet(TenantQuerySet):
    read_permission = Permission.GROUP_READ
    team_path = None
    region_path = "region_id"


class ResourceGroup(models.Model):
    """A named subset of a region's nodes, for quotas and placement."""

    id = IdField("grp", primary_key=True)
    region = models.ForeignKey(Region, models.CASCADE, related_name="groups")
    name = models.CharField(_("name"), max_length=80)
    slug = models.SlugField(_("short name"), max_length=40)
    description = models.CharField(_("description"), max_length=300, blank=True)
    nodes = models.ManyToManyField(Node, verbose_name=_("nodes"), related_name="groups", blank=True)
    created_at = models.DateTimeField(_("created"), db_default=Now())

    objects = ResourceGroupQuerySet.as_manager()

    class Meta:
        ordering = ("name",)
        constraints: ClassVar = [models.UniqueConstraint(fields=["region", "slug"], name="nodes_group_slug")]

    def __str__(self) -> str:
        return self.name


class AgentQuerySet(TenantQuerySet):
    """What belongs to a node's agent is seen by who sees the node."""

    read_permission = Permission.NODE_READ
    team_path = None
    region_path = "node__region_id"

    def good(self) -> "AgentQuerySet":
        """What still opens a door, by the database's clock."""
        return self.filter(revoked_at=None, expires_at__gt=Now())


class EnrolmentToken(models.Model):
    """What a host shows once to become a node's agent. Only its SHA-256 is kept.

    It is bound to one node and, once redeemed, to the credential it was redeemed for: the same two again
    are the same registration, anything else is refused.
    """

    id = IdField("etk", primary_key=True)
    node = models.ForeignKey(Node, models.CASCADE, related_name="tokens")
    hash = models.CharField(max_length=64, unique=True, editable=False)
    created_by_label = models.CharField(_("made by"), max_length=200)
    created_at = models.DateTimeField(_("made"), db_default=Now())
    expires_at = models.DateTimeField(_("ends"))
    revoked_at = models.DateTimeField(null=True, editable=False)
    redeemed_at = models.DateTimeField(_("used"), null=True, editable=False)
    redeemed_for = models.CharField(max_length=64, blank=True, editable=False)

    objects = AgentQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return str(self.pk)


class NodeCredential(models.Model):
    """What an agent signs in with. The agent made it; only its SHA-256 was ever here.

    A successor is introduced beside it; from the successor's first use this one lives for the overlap.
    """

    id = IdField("ncr", primary_key=True)
    node = models.ForeignKey(Node, models.CASCADE, related_name="credentials")
    hash = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(_("made"), db_default=Now())
    expires_at = models.DateTimeField(_("ends"))
    first_used_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)

    objects = AgentQuerySet.as_manager()

    class Meta:
        ordering = ("created_at",)

    def __str__(self) -> str:
        return str(self.pk)


class NodeAgent(models.Model):
    """What a node's agent said last. `acknowledged` counts the entries of its `journal` that are here."""

    id = IdField("nag", primary_key=True)
    node = models.OneToOneField(Node, models.CASCADE, related_name="agent")
    version = models.CharField(_("version"), max_length=40)
    journal = models.UUIDField(null=True)
    acknowledged = models.BigIntegerField(default=0)
    last_heard_at = models.DateTimeField(_("last heard"), null=True)
    skew_seconds = models.FloatField(_("clock off by"), default=0)
    facts = models.JSONField(default=dict)
    latest = models.JSONField(default=dict)
    notice = models.JSONField(null=True)
    fenced_at = models.DateTimeField(null=True)
    is_stopped = models.BooleanField(default=False)

    objects = AgentQuerySet.as_manager()

    def __str__(self) -> str:
        return f"agent of {self.node_id}"


class NodeSample(models.Model):
    """What a host did during the `seconds` before `at`; each entry of an agent's journal is here once."""

    node = models.ForeignKey(Node, models.CASCADE, related_name="samples")
    journal = models.UUIDField()
    seq = models.BigIntegerField()
    at = models.DateTimeField()
    seconds = models.FloatField()
    cpu_percent = models.FloatField()
    memory_used_mib = models.PositiveIntegerField()
    disk_used_gib = models.PositiveIntegerField()
    gpus = models.JSONField(default=list)
    engines = models.JSONField(default=list)

    objects = AgentQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["node", "journal", "seq"], name="nodes_sample_once")
        ]
        indexes: ClassVar = [models.Index(fields=["node", "at"], name="nodes_sample_time")]

    def __str__(self) -> str:
        return f"{self.journal}/{self.seq}"
