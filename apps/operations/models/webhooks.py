"""Webhooks: who is sent a team's events."""

from datetime import datetime
from typing import ClassVar

import pgtrigger
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.core.actor import Actor, team_scope
from apps.core.envelope import seal, unseal
from apps.core.ids import IdField
from apps.core.leases import Due, Tended
from apps.core.permissions import Permission
from apps.core.tenancy import TenantQuerySet
from apps.operations.models.outbox import Event
from apps.operations.specs import Position
from apps.operations.states import HOOK, HookState, Pause
from apps.teams.models import Team

TEST = "webhook.test"  # sent to the webhook that it is about, and to no other


class WebhookQuerySet(Due, TenantQuerySet):
    read_permission = Permission.WEBHOOK_READ

    def active(self) -> "WebhookQuerySet":
        return self.filter(state=HookState.ACTIVE)


class Webhook(Tended):
    """An address that a team's events are sent to, one after the other, in reading order.

    `read_txid` and `read_seq` are its place in the outbox: all before was accepted there or is not for it, so
    there is no row per delivery. `due_at`: not to be tried before; `attempts`: of the event that waits;
    `deadline_at`: when it is paused if nothing arrives. It belongs to the team, whoever made it.
    """

    id = IdField("whk", primary_key=True)
    team = models.ForeignKey(Team, models.CASCADE, related_name="+")
    name = models.CharField(_("name"), max_length=80)
    url = models.CharField(_("address"), max_length=500)
    types = ArrayField(models.CharField(max_length=80), verbose_name=_("events"))
    state = models.CharField(
        _("state"), max_length=6, choices=HookState.choices, default=HookState.ACTIVE, editable=False
    )
    paused_because = models.CharField(max_length=8, choices=Pause.choices, blank=True, editable=False)
    told_at = models.DateTimeField(null=True, editable=False)  # when its admins were mailed that it is paused
    secret = models.TextField(editable=False)  # sealed
    old_secret = models.TextField(blank=True, editable=False)  # sealed; signs too until …
    old_until = models.DateTimeField(null=True, editable=False)
    read_txid = models.BigIntegerField(editable=False)
    read_seq = models.BigIntegerField(editable=False)
    last_status = models.PositiveSmallIntegerField(_("last answer"), null=True, editable=False)
    last_delivered_at = models.DateTimeField(_("last delivery"), null=True, editable=False)
    is_slow = models.BooleanField(default=False, editable=False)  # the last attempt took long, or failed
    tries = models.JSONField(default=list, editable=False)  # the last attempts, newest first
    created_by_label = models.CharField(max_length=200, editable=False)
    created_at = models.DateTimeField(_("made"), db_default=Now(), editable=False)

    objects = WebhookQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(state__in=HookState.values), name="webhook_state"),
            models.CheckConstraint(
                condition=Q(state=HookState.ACTIVE, paused_because="")
                | Q(state=HookState.PAUSED, paused_because__in=Pause.values),
                name="webhook_says_why_it_is_paused",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["due_at"], name="webhook_due", condition=Q(state=HookState.ACTIVE)),
            models.Index(
                fields=["id"],
                name="webhook_untold",
                condition=Q(told_at=None) & Q(paused_because__in=[Pause.GONE, Pause.FAILING]),
            ),
        ]
        triggers: ClassVar = [pgtrigger.FSM(name="webhook_state", field="state", transitions=HOOK.edges())]

    def __str__(self) -> str:
        return self.name

    @property
    def position(self) -> Position:
        return Position(self.read_txid, self.read_seq)

    @property
    def next_attempt_at(self) -> datetime | None:
        """When what could not be delivered is tried again; None while nothing waits for that."""
        return self.due_at if self.attempts and self.state == HookState.ACTIVE else None

    @property
    def reader(self) -> Actor:
        """Who reads the outbox for it: somebody who may see the team's events and nothing else."""
        return Actor(f"webhook {self.pk}", {team_scope(self.team_id): frozenset({Permission.EVENT_READ})})

    def wants(self, event: Event) -> bool:
        """Whether it is told of the event; of a test only its own."""
        if event.type == TEST:
            return bool(event.subject == self.pk)
        fitting = {"*", f"{event.type.partition('.')[0]}.*", event.type}
        return bool(fitting.intersection(self.types))

    def sealed(self, secret: str) -> str:
        """The secret as it is kept."""
        return seal(secret.encode(), context=self._sealed_for)

    def opened(self, sealed: str) -> str:
        return unseal(sealed, context=self._sealed_for).decode()

    @property
    def _sealed_for(self) -> str:
        return f"operations_webhook.secret:{self.pk}"
