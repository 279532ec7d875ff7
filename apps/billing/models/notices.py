"""What a team is told of its balance, so that each is told once."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from apps.billing.states import NoticeKind
from apps.core.ids import IdField
from apps.core.permissions import Permission
from apps.core.tenancy import TenantQuerySet
from apps.teams.models import Team


class NoticeQuerySet(TenantQuerySet):
    read_permission = Permission.BILLING_READ


class Notice(models.Model):
    """A step up or down the ladder of a team that cannot pay; mailed once it has `mailed_at`."""

    id = IdField("ntc", primary_key=True)
    team = models.ForeignKey(Team, models.PROTECT, related_name="+", db_index=False)
    kind = models.CharField(max_length=10, choices=NoticeKind.choices)
    keep_until = models.DateField(null=True)  # of a suspension: data is kept until then at least
    at = models.DateTimeField(db_default=Now())
    mailed_at = models.DateTimeField(null=True)

    objects = NoticeQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(kind__in=NoticeKind.values), name="billing_notice_kind")
        ]
        indexes: ClassVar = [
            models.Index(fields=["team", "kind", "-at"], name="billing_notice_of_team"),
            models.Index(fields=["id"], name="billing_notice_unmailed", condition=Q(mailed_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.team_id} {self.kind}"
