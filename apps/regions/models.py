"""Places: a region, its failure domains, and the endpoints that run machines there."""

import json
from typing import Any, ClassVar

import pgtrigger
from django.contrib.postgres.aggregates import ArrayAgg
from django.db import models
from django.db.models import Q, Value
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.core.actor import Scope, region_scope
from apps.core.envelope import seal, unseal
from apps.core.ids import IdField
from apps.core.leases import Leased
from apps.core.permissions import Permission
from apps.core.tenancy import TenantQuerySet
from apps.regions.states import CLUSTER, REGION, ClusterState, RegionState


class RegionQuerySet(TenantQuerySet):
    read_permission = Permission.REGION_READ
    team_path = None
    region_path = "id"

    def selling(self) -> "RegionQuerySet":
        """Regions that customers may know of."""
        return self.exclude(state=RegionState.CLOSED)

    def with_kinds(self) -> "RegionQuerySet":
        """With `kinds`: the drivers of their active clusters, which is public knowledge."""
        active = Q(clusters__state=ClusterState.ACTIVE)
        found: RegionQuerySet = self.annotate(
            kinds=ArrayAgg("clusters__kind", filter=active, distinct=True, default=Value([]))
        )
        return found


class Region(models.Model):
    """A place with its own clusters and staff.

    `frozen_at` is the brake: so many nodes looked dead at once that the platform distrusts its own
    sight; nothing is placed or moved until a person looks.
    """

    id = IdField("reg", primary_key=True)
    slug = models.SlugField(_("short name"), max_length=40, unique=True)
    name = models.CharField(_("name"), max_length=80)
    location = models.CharField(_("location"), max_length=120, blank=True)
    country = models.CharField(_("country"), max_length=2, blank=True)
    state = models.CharField(_("state"), max_length=12, choices=RegionState.choices, default=RegionState.OPEN)
    brake_percent = models.PositiveSmallIntegerField(
        _("brake at"),
        default=30,
        help_text=_("Percent of nodes out of sight that freezes it."),
    )
    frozen_at = models.DateTimeField(_("frozen"), null=True, editable=False)
    thawed_at = models.DateTimeField(null=True, editable=False)
    frozen_because = models.CharField(max_length=200, blank=True, editable=False)
    created_at = models.DateTimeField(_("created"), db_default=Now())

    kinds: list[str]  # of regions read `with_kinds`

    objects = RegionQuerySet.as_manager()

    class Meta:
        ordering = ("name",)
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(state__in=RegionState.values), name="regions_state"),
            models.CheckConstraint(
                condition=Q(brake_percent__range=(1, 100)), name="regions_brake_is_a_percentage"
            ),
        ]
        triggers: ClassVar = [pgtrigger.FSM(name="states", field="state", transitions=REGION.edges())]

    def __str__(self) -> str:
        return self.name

    @property
    def scope(self) -> Scope:
        return region_scope(self.pk)


class ZoneQuerySet(TenantQuerySet):
    read_permission = Permission.REGION_READ
    team_path = None
    region_path = "region_id"


class Zone(models.Model):
    """A failure domain of a region."""

    id = IdField("zon", primary_key=True)
    region = models.ForeignKey(Region, models.CASCADE, related_name="zones")
    slug = models.SlugField(_("short name"), max_length=40)
    name = models.CharField(_("name"), max_length=80)

    objects = ZoneQuerySet.as_manager()

    class Meta:
        ordering = ("slug",)
        constraints: ClassVar = [models.UniqueConstraint(fields=["region", "slug"], name="regions_zone_slug")]

    def __str__(self) -> str:
        return self.name


class ClusterQuerySet(TenantQuerySet):
    read_permission = Permission.CLUSTER_READ
    team_path = None
    region_path = "region_id"

    def live(self) -> "ClusterQuerySet":
        return self.exclude(state=ClusterState.RETIRED)


class Cluster(Leased):
    """One configured endpoint of one driver. Its lease is the inventory's: one worker reads it at a time.

    `watched_since` is when the present unbroken watch began: what was unseen while nobody looked
    counts for nothing.
    """

    id = IdField("clu", primary_key=True)
    region = models.ForeignKey(Region, models.PROTECT, related_name="clusters")
    zone = models.ForeignKey(Zone, models.PROTECT, null=True, blank=True, related_name="clusters")
    name = models.CharField(_("name"), max_length=80)
    slug = models.SlugField(_("short name"), max_length=40)
    kind = models.CharField(_("driver"), max_length=20)
    config = models.JSONField(_("configuration"), default=dict)
    credentials = models.TextField(blank=True, editable=False)
    auto_enrol = models.BooleanField(_("take nodes into service as they appear"), default=False)
    state = models.CharField(
        _("state"), max_length=12, choices=ClusterState.choices, default=ClusterState.ACTIVE
    )
    version = models.CharField(_("version"), max_length=120, blank=True, editable=False)
    last_error = models.CharField(_("last problem"), max_length=500, blank=True, editable=False)
    last_tried_at = models.DateTimeField(null=True, editable=False)
    watched_since = models.DateTimeField(null=True, editable=False)
    last_seen_at = models.DateTimeField(_("last seen"), null=True, editable=False)
    created_at = models.DateTimeField(_("created"), db_default=Now())

    objects = ClusterQuerySet.as_manager()

    class Meta:
        ordering = ("slug",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["region", "slug"], name="regions_cluster_slug"),
            models.CheckConstraint(condition=Q(state__in=ClusterState.values), name="regions_cluster_state"),
        ]
        triggers: ClassVar = [pgtrigger.FSM(name="states", field="state", transitions=CLUSTER.edges())]

    def __str__(self) -> str:
        return self.name

    @property
    def driver_config(self) -> dict[str, Any]:
        """What the driver is told: the configuration and the opened credentials."""
        if not self.credentials:
            return dict(self.config)
        return {**self.config, **json.loads(unseal(self.credentials, context=self._sealed_for))}

    def seal_credentials(self, secrets: dict[str, Any]) -> None:
        self.credentials = seal(json.dumps(secrets).encode(), context=self._sealed_for) if secrets else ""

    @property
    def _sealed_for(self) -> str:
        return f"regions_cluster.credentials:{self.pk}"
