"""The outbox: everything that happened."""

from typing import Any

import pgtrigger
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from apps.core.ids import IdField
from apps.core.permissions import Permission
from apps.core.tenancy import TenantQuerySet
from apps.operations.specs import Position


class CurrentTransaction(models.Func):
    """The number of the transaction that writes the row."""

    template = "(pg_current_xact_id())::text::bigint"
    output_field = models.BigIntegerField()


class EventQuerySet(TenantQuerySet):
    read_permission = Permission.EVENT_READ
    workspace_path = "workspace_id"
    region_path = "region_id"


class Event(models.Model):
    """One thing that happened.

    `txid` and `seq` are its place in the outbox: what happened because of another event stands behind it.
    `txid` is no less than the number of the transaction that wrote it, so nothing can still appear before a
    place that all open transactions have passed (see `settled`).
    """

    writer = models.BigIntegerField(null=True, editable=False)  # the transaction
    txid = models.BigIntegerField(db_default=CurrentTransaction(), editable=False)
    seq = models.BigAutoField(primary_key=True)
    id = IdField("evt", editable=False)
    type = models.CharField(max_length=80)
    subject = models.CharField(max_length=40)
    team_id = IdField("team", null=True, editable=False)
    workspace_id = IdField("wks", null=True, editable=False)
    region_id = IdField("reg", null=True, editable=False)
    at = models.DateTimeField(db_default=Now())
    data = models.JSONField(default=dict)

    objects = EventQuerySet.as_manager()

    class Meta:
        ordering = ["seq"]
        indexes = [
            models.Index(fields=["subject", "seq"], name="event_subject_seq"),
            models.Index(fields=["team_id", "seq"], name="event_team_seq"),
            models.Index(fields=["txid", "seq"], name="event_in_reading_order"),
            models.Index(
                fields=["team_id", "txid", "seq"],
                name="event_team_reading",
                condition=Q(team_id__isnull=False),
            ),
            models.Index(fields=["at"], name="event_at"),
        ]
        triggers = [pgtrigger.Protect(name="event_is_final", operation=pgtrigger.Update)]

    def __str__(self) -> str:
        return f"{self.type} {self.subject}"

    @property
    def position(self) -> Position:
        return Position(self.txid, self.seq)

    @property
    def envelope(self) -> dict[str, Any]:
        """The event as the world outside sees it: streams and webhooks say the same."""
        return {
            "id": self.id,
            "type": self.type,
            "subject": self.subject,
            "team_id": self.team_id,
            "region_id": self.region_id,
            "at": self.at,
            "data": self.data,
        }
