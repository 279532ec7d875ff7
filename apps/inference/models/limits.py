"""How much may be asked of the gateway: requests per minute and tokens per day, on four levels."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.core.ids import IdField
from apps.core.permissions import Permission
from apps.core.tenancy import TenantQuerySet
from apps.inference.states import LimitLevel
from apps.teams.models import Team


class RateLimitQuerySet(TenantQuerySet):
    read_permission = Permission.LIMIT_READ


class RateLimit(models.Model):
    """What one subject may, or without a subject what every subject of the level may that has no row.

    The platform is one subject: its row has none. A number that is missing is taken from the level's row,
    and from `specs.USUAL_LIMITS` when that has none either.
    """

    id = IdField("lim", primary_key=True)
    level = models.CharField(_("level"), max_length=12, choices=LimitLevel.choices)
    subject_id = models.CharField(max_length=40, blank=True)  # of the team, workspace or key
    team = models.ForeignKey(Team, models.CASCADE, null=True, related_name="+")
    requests_per_minute = models.PositiveIntegerField(_("requests per minute"), null=True)
    tokens_per_day = models.PositiveBigIntegerField(_("tokens per day"), null=True)
    updated_by_label = models.CharField(_("set by"), max_length=200)
    updated_at = models.DateTimeField(_("set"), db_default=Now())

    objects = RateLimitQuerySet.as_manager()

    class Meta:
        ordering = ("level", "subject_id")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["level", "subject_id"], name="inference_limit_once"),
            models.CheckConstraint(condition=Q(level__in=LimitLevel.values), name="inference_limit_level"),
            models.CheckConstraint(
                condition=Q(team=None, subject_id="") | (Q(team__isnull=False) & ~Q(subject_id="")),
                name="inference_limit_subject_has_a_team",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.level} {self.subject_id}"
