"""Budgets: how much a team, a workspace, a person or an API key may spend in a day or month."""

from decimal import Decimal
from typing import ClassVar

import pgtrigger
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.billing.states import BudgetAction, BudgetLevel, BudgetPeriod
from apps.core.ids import IdField
from apps.core.money import ZERO, AmountField
from apps.core.permissions import Permission
from apps.core.tenancy import TenantQuerySet
from apps.teams.models import Team

THRESHOLDS = (50, 80, 90, 100)


class BudgetQuerySet(TenantQuerySet):
    read_permission = Permission.BILLING_READ


class Budget(models.Model):
    """A limit. `spent` is what was charged in the period that began at `period_start` (UTC), `alerted` the
    highest threshold that was told of in it. Both change only under the lock of the team's wallet."""

    id = IdField("bud", primary_key=True)
    team = models.ForeignKey(Team, models.PROTECT, related_name="+")
    name = models.CharField(_("name"), max_length=80)
    level = models.CharField(_("for"), max_length=10, choices=BudgetLevel.choices)
    subject_id = models.UUIDField(editable=False)  # of the team, workspace, person or key
    subject_label = models.CharField(_("of"), max_length=200)
    period = models.CharField(_("per"), max_length=5, choices=BudgetPeriod.choices)
    amount = AmountField(verbose_name=_("amount"))
    action = models.CharField(_("then"), max_length=6, choices=BudgetAction.choices)
    period_start = models.DateTimeField(editable=False)
    spent = AmountField(verbose_name=_("spent"), default=ZERO, editable=False)
    alerted = models.PositiveSmallIntegerField(default=0, editable=False)
    created_by_label = models.CharField(max_length=200)
    created_at = models.DateTimeField(_("set"), db_default=Now())
    removed_at = models.DateTimeField(null=True, editable=False)

    objects = BudgetQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="billing_budget_amount"),
            models.CheckConstraint(condition=Q(level__in=BudgetLevel.values), name="billing_budget_level"),
            models.CheckConstraint(condition=Q(period__in=BudgetPeriod.values), name="billing_budget_period"),
            models.CheckConstraint(condition=Q(action__in=BudgetAction.values), name="billing_budget_action"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["team"], name="billing_budget_live", condition=Q(removed_at=None))
        ]
        triggers: ClassVar = [pgtrigger.Protect(name="kept", operation=pgtrigger.Delete)]

    def __str__(self) -> str:
        return self.name

    @property
    def used_percent(self) -> Decimal:
        found: Decimal = (self.spent * 100 / self.amount).quantize(Decimal("0.1"))
        return found


class BudgetAlert(models.Model):
    """A threshold that was reached, once per budget and period; mailed once it has `mailed_at`."""

    id = models.BigAutoField(primary_key=True)
    budget = models.ForeignKey(Budget, models.PROTECT, related_name="alerts")
    team = models.ForeignKey(Team, models.PROTECT, related_name="+", db_index=False)
    period_start = models.DateTimeField()
    threshold = models.PositiveSmallIntegerField()
    spent = AmountField()
    at = models.DateTimeField(db_default=Now())
    mailed_at = models.DateTimeField(null=True)

    objects = BudgetQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["budget", "period_start", "threshold"], name="billing_alert_once"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["id"], name="billing_alert_unmailed", condition=Q(mailed_at=None))
        ]
        triggers: ClassVar = [pgtrigger.Protect(name="kept", operation=pgtrigger.Delete)]

    def __str__(self) -> str:
        return f"{self.budget_id} {self.threshold} %"
