"""What providers told us, and how their books compare with ours."""

from typing import Any, ClassVar

import pgtrigger
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.core.actor import Actor
from apps.core.ids import IdField
from apps.core.permissions import Permission
from apps.payments.states import Provider


class OfStaffQuerySet(models.QuerySet[Any]):
    """Rows of the platform, for those of its staff who may read money."""

    def visible_to(self, actor: Actor, permission: Permission | None = None) -> "OfStaffQuerySet":
        wanted = permission or Permission.BILLING_READ
        return self if actor.scopes(wanted, "platform") else self.none()


class WebhookEvent(models.Model):
    """One message of a provider, kept once however often it is delivered.

    Only its type and what it is about are used: the object itself is fetched anew.
    """

    id = IdField("whe", primary_key=True)
    provider = models.CharField(max_length=8, choices=Provider.choices)
    event_id = models.CharField(_("event"), max_length=120)
    type = models.CharField(_("type"), max_length=80)
    object_id = models.CharField(_("object"), max_length=120)
    body = models.JSONField()
    deliveries = models.PositiveIntegerField(_("deliveries"), default=1)
    received_at = models.DateTimeField(_("received"), db_default=Now())
    processed_at = models.DateTimeField(_("processed"), null=True)
    due_at = models.DateTimeField(null=True, db_index=True, db_default=Now())
    attempts = models.PositiveSmallIntegerField(default=0)
    problem = models.CharField(_("problem"), max_length=300, blank=True)

    objects = OfStaffQuerySet.as_manager()

    class Meta:
        ordering = ("-received_at", "-id")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["provider", "event_id"], name="payments_event_once"),
        ]

    def __str__(self) -> str:
        return self.event_id


class Reconciliation(models.Model):
    """One comparison of a provider's balance transactions with the ledger: what agrees, what does not."""

    id = IdField("rec", primary_key=True)
    provider = models.CharField(_("provider"), max_length=8, choices=Provider.choices)
    since = models.DateTimeField(_("from"))
    until = models.DateTimeField(_("until"))
    checked = models.PositiveIntegerField(_("compared"))
    booked = models.PositiveIntegerField(_("fees booked"))
    differences = models.JSONField(_("differences"), default=list)
    created_at = models.DateTimeField(_("done"), db_default=Now())

    objects = OfStaffQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "-id")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["provider", "until"], name="payments_reconciled_once"),
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.until:%Y-%m-%d}"


class Explanation(models.Model):
    """Why a movement is told differently by a provider and by us, in somebody's words: once, and for these
    amounts; what differs otherwise later is a new difference."""

    id = IdField("exp", primary_key=True)
    provider = models.CharField(_("provider"), max_length=8, choices=Provider.choices)
    kind = models.CharField(_("kind"), max_length=20)
    source = models.CharField(_("about"), max_length=120)
    provider_says = models.CharField(_("the provider says"), max_length=60, blank=True)
    ledger_says = models.CharField(_("we have booked"), max_length=60, blank=True)
    note = models.CharField(_("why"), max_length=300)
    created_by = models.CharField(_("by"), max_length=200)
    created_at = models.DateTimeField(_("explained"), db_default=Now())

    objects = OfStaffQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "-id")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["provider", "kind", "source", "provider_says", "ledger_says"],
                name="payments_explained_once",
            ),
        ]
        triggers: ClassVar = [
            pgtrigger.Protect(name="append_only", operation=pgtrigger.Update | pgtrigger.Delete)
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.source}"
