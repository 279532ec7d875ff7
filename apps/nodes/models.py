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

    def accepting(self) -> "NodeQuerySet":
        """Nodes on which something new may be placed."""
        return self.filter(state=State.READY, health=Health.HEALTHY)

    def needing_attention(self) -> "NodeQuerySet":
        return self.present().filter(~Q(health=Health.HEALTHY) | ~Q(problem=""))


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
