"""What was reported as usage and could not be believed: kept, shown to staff, charged to nobody."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.billing.states import QuarantineReason, QuarantineState
from apps.core.actor import PLATFORM, Actor
from apps.core.ids import IdField
from apps.core.permissions import Permission


class QuarantineQuerySet(models.QuerySet["Quarantined"]):
    def visible_to(self, actor: Actor, permission: Permission | None = None) -> "QuarantineQuerySet":
        """All of it, for the platform's staff; nobody else hears of it."""
        return self if actor.can(permission or Permission.BILLING_READ, PLATFORM) else self.none()


class Quarantined(models.Model):
    """A report of usage that was set aside: as it came, with why, and what a person made of it."""

    id = IdField("qua", primary_key=True)
    source = models.CharField(_("source"), max_length=80)
    event_id = models.CharField(_("event"), max_length=100)
    team_id = IdField("team", null=True)
    meter = models.CharField(_("meter"), max_length=40, blank=True)
    reason = models.CharField(_("reason"), max_length=20, choices=QuarantineReason.choices)
    detail = models.CharField(_("detail"), max_length=300, blank=True)
    payload = models.JSONField()
    payload_hash = models.BinaryField(max_length=32)
    state = models.CharField(
        _("state"), max_length=12, choices=QuarantineState.choices, db_default=QuarantineState.OPEN
    )
    note = models.CharField(_("note"), max_length=300, blank=True, db_default="")
    resolved_by = models.CharField(_("decided by"), max_length=200, blank=True, db_default="")
    resolved_at = models.DateTimeField(_("decided"), null=True)
    received_at = models.DateTimeField(_("received"), db_default=Now())

    objects = QuarantineQuerySet.as_manager()

    class Meta:
        ordering = ("-received_at", "-id")
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(state__in=QuarantineState.values), name="billing_quarantine_state"
            ),
            models.CheckConstraint(
                condition=Q(state=QuarantineState.OPEN, resolved_at=None)
                | ~Q(state=QuarantineState.OPEN) & Q(resolved_at__isnull=False),
                name="billing_quarantine_decided",
            ),
            models.UniqueConstraint(
                fields=["source", "event_id", "payload_hash"], name="billing_quarantine_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.event_id}"
