"""Reminders of overdue invoices."""

from typing import ClassVar

import pgtrigger
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.core.ids import IdField
from apps.core.money import AmountField
from apps.invoicing.models.invoices import Invoice, InvoiceQuerySet
from apps.teams.models import Team


class Reminder(models.Model):
    """That an overdue invoice has reached a level, and what was owed of it then: once per level."""

    id = IdField("rmd", primary_key=True)
    invoice = models.ForeignKey(Invoice, models.PROTECT, related_name="reminders", db_index=False)
    team = models.ForeignKey(Team, models.PROTECT, related_name="+")
    level = models.PositiveSmallIntegerField(_("level"))
    currency = models.CharField(_("currency"), max_length=3)
    amount_due = AmountField(verbose_name=_("owed"))
    mailed_to = models.CharField(_("mailed to"), max_length=300, blank=True)
    mailed_at = models.DateTimeField(_("mailed"), null=True)
    created_at = models.DateTimeField(_("reminded"), db_default=Now())

    objects = InvoiceQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "-id")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["invoice", "level"], name="invoicing_reminder_once"),
            models.CheckConstraint(
                condition=Q(level__gt=0, amount_due__gt=0), name="invoicing_reminder_owed"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["id"], name="invoicing_reminder_to_mail", condition=Q(mailed_at=None)),
        ]
        triggers: ClassVar = [
            pgtrigger.Protect(name="kept", operation=pgtrigger.Delete),
            pgtrigger.Protect(
                name="said_once",
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition("(OLD.mailed_at IS NOT NULL)"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.invoice_id} {self.level}"
