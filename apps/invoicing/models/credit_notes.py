"""Credit notes: how a final invoice is corrected."""

from typing import ClassVar

import pgtrigger
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.core.ids import IdField
from apps.core.money import AmountField
from apps.invoicing.models.invoices import Invoice, InvoiceQuerySet
from apps.invoicing.models.parties import LegalEntity
from apps.teams.models import Team


class CreditNote(models.Model):
    """So much of an invoice is taken back, line by line, tax included; numbered and chained like one.

    What was still to be paid is reduced first; the rest goes to the team's balance.
    """

    id = IdField("crn", primary_key=True)
    invoice = models.ForeignKey(Invoice, models.PROTECT, related_name="credit_notes")
    entity = models.ForeignKey(LegalEntity, models.PROTECT, related_name="+", db_index=False)
    team = models.ForeignKey(Team, models.PROTECT, related_name="+")
    serial = models.PositiveIntegerField()
    number = models.CharField(_("number"), max_length=40, unique=True)
    reason = models.CharField(_("reason"), max_length=200)
    reference = models.CharField(max_length=80, blank=True)
    currency = models.CharField(_("currency"), max_length=3)
    lines = models.JSONField()
    net = AmountField(verbose_name=_("net"))
    tax = AmountField(verbose_name=_("tax"))
    total = AmountField(verbose_name=_("total"))
    to_balance = AmountField(verbose_name=_("to the balance"))
    snapshot = models.JSONField(default=dict)
    previous_hash = models.CharField(max_length=64, blank=True)
    content_hash = models.CharField(max_length=64)
    transaction_id = IdField("ltx")
    created_by = models.CharField(_("by"), max_length=200)
    issued_at = models.DateTimeField(_("issued"))
    created_at = models.DateTimeField(db_default=Now())

    objects = InvoiceQuerySet.as_manager()

    class Meta:
        ordering = ("-issued_at", "-id")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["entity", "serial"], name="invoicing_credit_number_once"),
            models.CheckConstraint(condition=Q(total__gt=0, to_balance__gte=0), name="invoicing_credit_more"),
        ]
        triggers: ClassVar = [
            pgtrigger.Protect(name="append_only", operation=pgtrigger.Update | pgtrigger.Delete)
        ]

    def __str__(self) -> str:
        return self.number

    @property
    def name(self) -> str:
        return self.number
