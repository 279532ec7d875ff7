"""Usage events as programs report them: facts, each known once, and the queue of those still to be rated."""

from typing import ClassVar

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.billing.models.ledger import frozen
from apps.billing.models.usage import UsageQuerySet
from apps.core.ids import IdField
from apps.core.money import AmountField


class UsageEvent(models.Model):
    """So much of a meter, for a team, at a moment.

    `key_hash` is what makes it this event and no other: team, source and the source's own id. It stays
    unique for as long as the row does, which is longer than any event may be late. `payload_hash` tells a
    repeat from other content under the same key. `supersedes` names the event that this one corrects.
    """

    id = IdField("uev", primary_key=True)
    key_hash = models.BinaryField(max_length=16, unique=True)
    payload_hash = models.BinaryField(max_length=32)
    team_id = IdField("team")
    workspace_id = IdField("wks")
    source = models.CharField(_("source"), max_length=80)
    event_id = models.CharField(_("event"), max_length=100)
    meter = models.CharField(_("meter"), max_length=40)
    product = models.CharField(_("product"), max_length=80)
    resource_id = models.CharField(_("resource"), max_length=120)
    quantity = AmountField(verbose_name=_("quantity"))
    at = models.DateTimeField(_("at"))
    attributes = models.JSONField(default=dict)
    supersedes = IdField("uev", null=True)
    received_at = models.DateTimeField(_("received"), db_default=Now())

    objects = UsageQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(quantity__gte=0), name="billing_event_quantity"),
            models.UniqueConstraint(
                fields=["supersedes"],
                condition=Q(supersedes__isnull=False),
                name="billing_event_superseded_once",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["team_id", "at"], name="billing_event_team"),
            BrinIndex(fields=["received_at"], name="billing_event_time"),
        ]
        triggers: ClassVar = frozen()

    def __str__(self) -> str:
        return f"{self.source} {self.event_id}"


class UnratedEvent(models.Model):
    """An event that has been taken in and not yet been charged; gone in the moment it is.

    One that lies ahead waits until `at`: its price may still change.
    """

    event_id = IdField("uev", primary_key=True)
    team_id = IdField("team")
    at = models.DateTimeField(db_default=Now())

    objects = UsageQuerySet.as_manager()

    class Meta:
        ordering = ("team_id", "event_id")
        indexes: ClassVar = [models.Index(fields=["team_id", "event_id"], name="billing_unrated_team")]

    def __str__(self) -> str:
        return str(self.event_id)
