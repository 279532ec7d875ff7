"""Operations and their steps."""

import pgtrigger
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.core.ids import IdField
from apps.core.permissions import Permission
from apps.core.tenancy import TenantQuerySet
from apps.operations.states import MACHINE, OPEN, Plane, State, StepState


class OperationQuerySet(TenantQuerySet):
    read_permission = Permission.OPERATION_READ
    workspace_path = "workspace_id"
    region_path = "region_id"

    def open(self) -> "OperationQuerySet":
        return self.filter(state__in=OPEN)


class Operation(models.Model):
    """Work that outlives the request that asked for it."""

    id = IdField("op", primary_key=True)
    kind = models.CharField(_("kind"), max_length=60)
    team_id = IdField("team", null=True, editable=False)
    workspace_id = IdField("wks", null=True, editable=False)
    region_id = IdField("reg", null=True, editable=False)
    target_type = models.CharField(max_length=40)
    target_id = models.CharField(max_length=40)
    target_name = models.CharField(_("target"), max_length=200)
    actor_label = models.CharField(_("asked by"), max_length=200)
    state = models.CharField(_("state"), max_length=12, choices=State.choices, default=State.PENDING)
    progress = models.PositiveSmallIntegerField(_("progress"), default=0)
    is_cancellable = models.BooleanField(default=False)
    params = models.JSONField(default=dict)
    deadline_at = models.DateTimeField(null=True)
    error_code = models.CharField(max_length=60, blank=True)
    error_message = models.TextField(blank=True)
    undone = models.TextField(_("what was undone"), blank=True)
    created_at = models.DateTimeField(_("started"), db_default=Now())
    finished_at = models.DateTimeField(_("finished"), null=True)

    objects = OperationQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["target_id"],
                condition=Q(state__in=[State.PENDING, State.RUNNING]),
                name="operation_one_open_per_target",
            ),
            models.CheckConstraint(condition=Q(progress__lte=100), name="operation_progress_is_percent"),
        ]
        indexes = [
            models.Index(fields=["team_id", "-created_at"], name="operation_team_recent"),
            models.Index(fields=["region_id", "-created_at"], name="operation_region_recent"),
            models.Index(fields=["target_id", "-created_at"], name="operation_target_recent"),
            models.Index(
                fields=["deadline_at"],
                condition=Q(state__in=[State.PENDING, State.RUNNING]),
                name="operation_open_deadline",
            ),
        ]
        triggers = [
            pgtrigger.FSM(name="operation_state", field="state", transitions=MACHINE.edges()),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.target_name}"

    @property
    def is_open(self) -> bool:
        return self.state in OPEN


class StepQuerySet(TenantQuerySet):
    read_permission = Permission.OPERATION_READ
    region_path = "region_id"


class OperationStep(models.Model):
    """One line of an operation's timeline."""

    operation = models.ForeignKey(Operation, models.CASCADE, related_name="steps")
    team_id = IdField("team", null=True, editable=False)
    region_id = IdField("reg", null=True, editable=False)
    position = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=60)
    plane = models.CharField(max_length=8, choices=Plane.choices)
    state = models.CharField(max_length=8, choices=StepState.choices, default=StepState.PENDING)
    detail = models.TextField(blank=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects = StepQuerySet.as_manager()

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["operation", "position"], name="step_once_per_position"),
        ]

    def __str__(self) -> str:
        return f"{self.position}. {self.name}"
