"""Endpoints: what callers name in `model`, what answers for it, and how it grows and shrinks."""

from typing import ClassVar

import pgtrigger
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.billing.specs import Rate
from apps.catalog.models import CatalogQuerySet, GpuModel
from apps.core.actor import Actor
from apps.core.ids import IdField
from apps.core.leases import Due, Tended
from apps.core.money import PriceField
from apps.core.permissions import Permission
from apps.core.tenancy import TenantQuerySet
from apps.inference.states import (
    ENDPOINT,
    Desired,
    EndpointState,
    Isolation,
    Metering,
    Policy,
    ScaleMetric,
    Visibility,
)
from apps.regions.models import Region
from apps.registry.models import ModelVersion
from apps.teams.models import Team, Workspace


class HardwareQuerySet(CatalogQuerySet):
    def offered(self) -> "HardwareQuerySet":
        return self.filter(is_active=True)


class Hardware(models.Model):
    """What a replica may run on; `kinds` are the clusters' drivers that have it.

    `provider_type` is the provider's own name for it (an instance type), where there is one.
    """

    id = IdField("hw", primary_key=True)
    slug = models.SlugField(_("short name"), max_length=60, unique=True)
    name = models.CharField(_("name"), max_length=80)
    kinds = ArrayField(models.CharField(max_length=20), default=list)
    provider_type = models.CharField(max_length=80, blank=True)
    vcpus = models.PositiveIntegerField(_("vCPUs"))
    memory_mib = models.PositiveIntegerField(_("memory"))
    gpu_model = models.ForeignKey(GpuModel, models.PROTECT, null=True, related_name="+")
    gpus = models.PositiveSmallIntegerField(_("GPUs"), default=0)
    is_active = models.BooleanField(_("offered"), default=True)
    position = models.PositiveSmallIntegerField(default=100)
    created_at = models.DateTimeField(db_default=Now())

    objects = HardwareQuerySet.as_manager()

    class Meta:
        ordering = ("position", "slug")
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(vcpus__gt=0, memory_mib__gt=0), name="inference_hardware_has_a_size"
            ),
            models.CheckConstraint(
                condition=Q(gpu_model=None, gpus=0) | Q(gpu_model__isnull=False, gpus__gt=0),
                name="inference_hardware_gpus_have_a_model",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def product(self) -> str:
        """What billing calls an hour of it."""
        return f"engine:{self.slug}"

    @property
    def rates(self) -> tuple[Rate, ...]:
        return (Rate(self.product),)


class EndpointQuerySet(Due, TenantQuerySet):
    read_permission = Permission.ENDPOINT_READ
    workspace_path = "workspace_id"
    region_path = "region_id"

    def live(self) -> "EndpointQuerySet":
        return self.exclude(state=EndpointState.DELETED)

    def callable_by(self, actor: Actor) -> "EndpointQuerySet":
        """Those the actor may see, and the provider's public ones."""
        mine = self.visible_to(actor).values("pk")
        return self.live().filter(Q(pk__in=mine) | Q(visibility=Visibility.PUBLIC))

    def with_names(self) -> "EndpointQuerySet":
        return self.select_related("region", "revision__hardware")


class Endpoint(Tended):
    """A model version that answers under a name. Without a team it is the provider's own.

    `wanted` is how many replicas there shall be now, between `min_replicas` and `max_replicas` (0 while it
    sleeps); `revision` says what they are made of, `canary` what a share of the requests tries out.
    """

    id = IdField("end", primary_key=True)
    team = models.ForeignKey(Team, models.PROTECT, null=True, related_name="+", db_index=False)
    workspace = models.ForeignKey(Workspace, models.PROTECT, null=True, related_name="+", db_index=False)
    region = models.ForeignKey(Region, models.PROTECT, related_name="+", db_index=False)
    team_name = models.CharField(_("team"), max_length=80)
    name = models.CharField(_("name"), max_length=80)
    slug = models.CharField(_("model name"), max_length=63)  # what callers write as `model`
    visibility = models.CharField(max_length=8, choices=Visibility.choices, default=Visibility.TEAM)
    metering = models.CharField(max_length=8, choices=Metering.choices, default=Metering.TIME)
    modality = models.CharField(_("kind"), max_length=12)
    model_name = models.CharField(_("model"), max_length=120, blank=True)  # of the revision
    desired = models.CharField(max_length=8, choices=Desired.choices, default=Desired.RUNNING)
    state = models.CharField(
        _("state"), max_length=16, choices=EndpointState.choices, default=EndpointState.DEPLOYING
    )
    message = models.TextField(_("message"), blank=True)

    revision = models.ForeignKey(
        "Revision", models.PROTECT, null=True, related_name="+", db_index=False, editable=False
    )
    previous = models.ForeignKey(
        "Revision", models.PROTECT, null=True, related_name="+", db_index=False, editable=False
    )
    canary = models.ForeignKey(
        "Revision", models.PROTECT, null=True, related_name="+", db_index=False, editable=False
    )
    canary_weight = models.PositiveSmallIntegerField(_("share of the canary"), default=0)  # percent

    # Only where external providers alone answer: how many tokens they take. Elsewhere the revision says.
    context_length = models.PositiveIntegerField(_("context"), null=True)

    wanted = models.PositiveSmallIntegerField(_("wanted replicas"), default=1)
    min_replicas = models.PositiveSmallIntegerField(_("least replicas"), default=1)
    max_replicas = models.PositiveSmallIntegerField(_("most replicas"), default=1)
    scale_metric = models.CharField(
        _("grows with"), max_length=12, choices=ScaleMetric.choices, default=ScaleMetric.CONCURRENCY
    )
    scale_target = models.PositiveIntegerField(_("target per replica"), default=8)
    idle_seconds = models.PositiveIntegerField(_("sleeps after"), default=0)  # 0: never below the least
    policy = models.CharField(
        _("routing"), max_length=20, choices=Policy.choices, default=Policy.LEAST_OUTSTANDING
    )
    queue_limit = models.PositiveIntegerField(_("most waiting requests"), default=256)
    drain_seconds = models.PositiveIntegerField(_("longest drain"), default=120)
    spot_percent = models.PositiveSmallIntegerField(_("share on spot"), default=0)
    has_fallback = models.BooleanField(_("on demand when there is no spot"), default=True)

    hourly = PriceField(verbose_name=_("price per replica hour"), default=0)
    currency = models.CharField(max_length=3)

    operation_id = IdField("op", null=True, editable=False)
    failures = models.PositiveIntegerField(default=0, editable=False)  # of launches in a row
    retry_at = models.DateTimeField(null=True, editable=False)  # no launch before that
    scaled_at = models.DateTimeField(null=True, editable=False)
    active_at = models.DateTimeField(db_default=Now(), editable=False)  # last request, or last woken
    low_since = models.DateTimeField(null=True, editable=False)  # since when fewer would do

    created_by_id = IdField("usr", null=True, editable=False)
    created_by_key_id = IdField("key", null=True, editable=False)
    created_by_label = models.CharField(_("made by"), max_length=200)
    created_at = models.DateTimeField(_("created"), db_default=Now())
    ready_at = models.DateTimeField(_("first ready"), null=True, editable=False)
    deleted_at = models.DateTimeField(_("deleted"), null=True, editable=False)

    objects = EndpointQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["team", "slug"],
                condition=~Q(state=EndpointState.DELETED),
                name="inference_endpoint_slug_once",
            ),
            models.UniqueConstraint(
                fields=["slug"],
                condition=Q(team=None) & ~Q(state=EndpointState.DELETED),
                name="inference_platform_slug_once",
            ),
            models.CheckConstraint(
                condition=Q(team=None, workspace=None) | Q(team__isnull=False, workspace__isnull=False),
                name="inference_endpoint_owner",
            ),
            models.CheckConstraint(
                condition=Q(team=None, visibility=Visibility.PUBLIC, metering=Metering.TOKENS)
                | Q(team__isnull=False, visibility=Visibility.TEAM),
                name="inference_endpoint_public_is_ours",
            ),
            models.CheckConstraint(
                condition=Q(state__in=EndpointState.values), name="inference_endpoint_state"
            ),
            models.CheckConstraint(
                condition=Q(min_replicas__lte=F("max_replicas"), max_replicas__range=(1, 64)),
                name="inference_endpoint_scale",
            ),
            models.CheckConstraint(
                condition=Q(wanted__lte=F("max_replicas")), name="inference_endpoint_wanted"
            ),
            models.CheckConstraint(
                condition=Q(canary=None, canary_weight=0)
                | Q(canary__isnull=False, canary_weight__range=(1, 99)),
                name="inference_endpoint_canary",
            ),
            models.CheckConstraint(condition=Q(spot_percent__range=(0, 100)), name="inference_endpoint_spot"),
            models.CheckConstraint(
                condition=Q(context_length=None)
                | Q(team=None, revision=None, canary=None, context_length__gt=0),
                name="inference_endpoint_of_providers",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["team", "-id"], name="inference_endpoint_team"),
            models.Index(fields=["workspace", "-id"], name="inference_endpoint_workspace"),
            models.Index(fields=["region", "-id"], name="inference_endpoint_region"),
            models.Index(fields=["due_at"], condition=~Q(due_at=None), name="inference_endpoint_due"),
        ]
        triggers: ClassVar = [pgtrigger.FSM(name="states", field="state", transitions=ENDPOINT.edges())]

    def __str__(self) -> str:
        return self.name

    @property
    def is_platform(self) -> bool:
        return self.team_id is None

    @property
    def isolation(self) -> Isolation:
        """Of the engines that it has itself."""
        if self.is_provided:
            return Isolation.EXTERNAL
        return Isolation.PROCESS if self.team_id else Isolation.SHARED

    @property
    def is_provided(self) -> bool:
        """Whether external providers alone answer for it: there is no model and no engine of our own."""
        return self.context_length is not None

    @property
    def price_slug(self) -> str:
        """The middle of the products by which its tokens are priced: `tokens:<this>:input`."""
        return self.slug


class RevisionQuerySet(TenantQuerySet):
    read_permission = Permission.ENDPOINT_READ
    region_path = "region_id"


class Revision(models.Model):
    """What the replicas of an endpoint are made of; never changed, so that one can go back to it."""

    id = IdField("rev", primary_key=True)
    endpoint = models.ForeignKey(Endpoint, models.CASCADE, related_name="revisions", db_index=False)
    team_id = IdField("team", null=True, editable=False)
    region_id = IdField("reg", editable=False)
    number = models.PositiveIntegerField(_("number"))
    version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="+")
    model_name = models.CharField(_("model"), max_length=120)  # "Tiny chat 1"
    digest = models.CharField(_("digest"), max_length=71)  # sha256:…
    hardware = models.ForeignKey(Hardware, models.PROTECT, related_name="+", db_index=False)
    context_length = models.PositiveIntegerField(_("context"))  # tokens per request
    parallel = models.PositiveSmallIntegerField(_("requests at once"), default=4)  # per replica
    is_revoked = models.BooleanField(default=False, editable=False)
    created_by_label = models.CharField(_("made by"), max_length=200)
    created_at = models.DateTimeField(_("created"), db_default=Now())

    objects = RevisionQuerySet.as_manager()

    class Meta:
        ordering = ("-number",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["endpoint", "number"], name="inference_revision_once")
        ]

    def __str__(self) -> str:
        return f"{self.model_name} #{self.number}"
