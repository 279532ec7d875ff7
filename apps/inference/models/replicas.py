"""Replicas: one running engine each."""

from datetime import timedelta
from typing import ClassVar

import pgtrigger
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.billing.specs import Rate, from_json
from apps.core.envelope import seal, unseal
from apps.core.ids import IdField
from apps.core.leases import Due, Tended, in_time
from apps.core.permissions import Permission
from apps.core.tenancy import TenantQuerySet
from apps.inference.models.endpoints import Endpoint, Revision
from apps.inference.states import ENDED, LIVE, REPLICA, Desired, Isolation, Kind, ReplicaState
from apps.nodes.models import Node
from apps.regions.models import Cluster, Region

PREFIX = "hai-"
FAILED_FOR = timedelta(days=7)  # so long a replica that failed is shown, and what its engine wrote is kept


class ReplicaQuerySet(Due, TenantQuerySet):
    read_permission = Permission.ENDPOINT_READ
    workspace_path = "endpoint__workspace_id"
    region_path = "region_id"

    def live(self) -> "ReplicaQuerySet":
        """On the way to serving, or serving, and wanted."""
        return self.filter(state__in=LIVE, desired=Desired.RUNNING)

    def present(self) -> "ReplicaQuerySet":
        """Those whose engine is not proven gone."""
        return self.filter(released_at=None)

    def external(self) -> "ReplicaQuerySet":
        """Those that others run."""
        return self.filter(kind=Kind.EXTERNAL)

    def shown(self) -> "ReplicaQuerySet":
        """Those whose engine is not proven gone, and those that failed within a week."""
        return self.filter(
            Q(released_at=None) | Q(state=ReplicaState.FAILED, state_at__gt=in_time(-FAILED_FOR))
        )

    def with_names(self) -> "ReplicaQuerySet":
        return self.select_related("endpoint", "region", "cluster", "node", "revision__hardware")


class Replica(Tended):
    """An engine that answers for an endpoint. Where it stands is not for its team to know.

    One of an external provider has no cluster, no node and no revision, but the name by which its provider
    knows the model; as a fallback it is asked when no engine of our own can answer.
    """

    id = IdField("rep", primary_key=True)
    endpoint = models.ForeignKey(Endpoint, models.PROTECT, related_name="replicas", db_index=False)
    team_id = IdField("team", null=True, editable=False)
    region = models.ForeignKey(Region, models.PROTECT, related_name="+", db_index=False)
    cluster = models.ForeignKey(Cluster, models.PROTECT, null=True, related_name="+", db_index=False)
    node = models.ForeignKey(Node, models.PROTECT, null=True, related_name="+", db_index=False)
    revision = models.ForeignKey(Revision, models.PROTECT, null=True, related_name="+", db_index=False)
    kind = models.CharField(_("kind"), max_length=12, choices=Kind.choices)
    provider_model = models.CharField(_("model at the provider"), max_length=200, blank=True)
    is_fallback = models.BooleanField(_("fallback"), default=False)
    desired = models.CharField(max_length=8, choices=Desired.choices, default=Desired.RUNNING)
    state = models.CharField(
        _("state"), max_length=16, choices=ReplicaState.choices, default=ReplicaState.PENDING
    )
    message = models.TextField(_("message"), blank=True)
    url = models.CharField(_("address"), max_length=255, blank=True)
    api_key = models.TextField(editable=False)  # sealed
    next_key = models.TextField(blank=True, editable=False)  # sealed; takes over when it has been proven
    is_spot = models.BooleanField(_("spot"), default=False)
    outstanding = models.PositiveIntegerField(_("open requests"), null=True, editable=False)
    rates = models.JSONField(default=list, editable=False)  # empty when tokens are charged

    asked_at = models.DateTimeField(null=True, editable=False)
    is_alarmed = models.BooleanField(default=False, editable=False)

    created_at = models.DateTimeField(_("created"), db_default=Now())
    started_at = models.DateTimeField(_("ready since"), null=True, editable=False)
    noticed_at = models.DateTimeField(_("to be taken away since"), null=True, editable=False)
    last_seen_at = models.DateTimeField(_("last seen"), null=True, editable=False)
    missed_at = models.DateTimeField(null=True, editable=False)  # since when it is looked for in vain
    released_at = models.DateTimeField(null=True, editable=False)
    absence = models.JSONField(null=True, editable=False)  # the proof that it is gone

    objects = ReplicaQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(state__in=ReplicaState.values), name="inference_replica_state"
            ),
            models.CheckConstraint(
                condition=~Q(state=ReplicaState.STOPPED)
                | Q(released_at__isnull=False, absence__isnull=False),
                name="inference_replica_stopped_on_proof",
            ),
            models.CheckConstraint(
                condition=Q(released_at=None) | Q(absence__isnull=False),
                name="inference_replica_released_on_proof",
            ),
            models.CheckConstraint(
                condition=Q(kind=Kind.EXTERNAL, cluster=None, revision=None, team_id=None)
                & ~Q(provider_model="")
                | ~Q(kind=Kind.EXTERNAL)
                & Q(cluster__isnull=False, revision__isnull=False, provider_model=""),
                name="inference_replica_ours_or_external",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["endpoint", "-id"], name="inference_replica_endpoint"),
            models.Index(fields=["region", "-id"], name="inference_replica_region"),
            models.Index(fields=["cluster"], condition=Q(released_at=None), name="inference_replica_on"),
            models.Index(fields=["due_at"], condition=~Q(due_at=None), name="inference_replica_due"),
        ]
        triggers: ClassVar = [pgtrigger.FSM(name="states", field="state", transitions=REPLICA.edges())]

    def __str__(self) -> str:
        return str(self.pk)

    @property
    def engine_name(self) -> str:
        """What its engine is called wherever it is: ours, and always the same."""
        return f"{PREFIX}{self.pk}"

    @property
    def is_external(self) -> bool:
        return self.kind == Kind.EXTERNAL

    @property
    def isolation(self) -> Isolation:
        return Isolation.EXTERNAL if self.is_external else self.endpoint.isolation

    @property
    def is_ended(self) -> bool:
        return self.state in ENDED

    @property
    def serving_rates(self) -> tuple[Rate, ...]:
        return from_json(self.rates)

    @property
    def secret(self) -> str:
        """The key that its engine asks for, opened."""
        return unseal(self.api_key, context=self._sealed_for).decode()

    @property
    def next_secret(self) -> str:
        """The key that shall take over, opened."""
        return unseal(self.next_key, context=self._sealed_for).decode()

    def seal_secret(self, text: str) -> None:
        self.api_key = self.sealed(text)

    def sealed(self, text: str) -> str:
        """A key of its, as it is kept."""
        return seal(text.encode(), context=self._sealed_for)

    @property
    def _sealed_for(self) -> str:
        return f"inference_replica.api_key:{self.pk}"
