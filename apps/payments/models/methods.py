"""Who a team is at a provider, the cards it has saved there, and its automatic top-up."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.core.ids import IdField
from apps.core.money import AmountField
from apps.core.permissions import Permission
from apps.core.tenancy import TenantQuerySet
from apps.payments.states import Provider
from apps.teams.models import Team


class MoneyQuerySet(TenantQuerySet):
    read_permission = Permission.BILLING_READ


class PaymentCustomer(models.Model):
    """The team's counterpart at a provider. `setup_url` leads to where a card is saved."""

    id = IdField("pcu", primary_key=True)
    team = models.ForeignKey(Team, models.PROTECT, related_name="+")
    provider = models.CharField(max_length=8, choices=Provider.choices)
    external_id = models.CharField(max_length=80, null=True, unique=True)  # noqa: DJ001 - unique
    setup_id = models.CharField(max_length=120, blank=True)
    setup_url = models.TextField(blank=True)
    setup_wanted_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(null=True, db_index=True)
    problem = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    objects = MoneyQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["team", "provider"], name="payments_customer_once"),
        ]

    def __str__(self) -> str:
        return self.external_id or str(self.pk)


class PaymentMethod(models.Model):
    """A card that the provider keeps; we know its last digits only."""

    id = IdField("pme", primary_key=True)
    team = models.ForeignKey(Team, models.PROTECT, related_name="+")
    provider = models.CharField(max_length=8, choices=Provider.choices)
    external_id = models.CharField(max_length=80, unique=True)
    brand = models.CharField(_("card"), max_length=20)
    last4 = models.CharField(_("last digits"), max_length=4)
    expires = models.CharField(_("expires"), max_length=7, blank=True)
    is_default = models.BooleanField(_("default"), default=False)
    removed_at = models.DateTimeField(null=True)
    is_detached = models.BooleanField(default=False)
    created_at = models.DateTimeField(_("added"), db_default=Now())

    objects = MoneyQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "-id")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["team"],
                condition=Q(is_default=True, removed_at=None),
                name="payments_one_default_method",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.brand} ···· {self.last4}"

    @property
    def name(self) -> str:
        return str(self)


class AutoTopUp(models.Model):
    """Top the balance up by `amount` whenever less than `threshold` is free, at most `monthly_most` a month.

    It pauses after a card was refused and goes on when somebody saves it anew.
    """

    team = models.OneToOneField(Team, models.CASCADE, primary_key=True, related_name="+")
    is_enabled = models.BooleanField(_("on"), default=False)
    threshold = AmountField(verbose_name=_("below"))
    amount = AmountField(verbose_name=_("add"))
    monthly_most = AmountField(verbose_name=_("at most a month"))
    paused_because = models.CharField(_("paused because"), max_length=300, blank=True)
    updated_at = models.DateTimeField(db_default=Now())

    objects = MoneyQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(threshold__gte=0, amount__gt=0, monthly_most__gte=F("amount")),
                name="payments_auto_amounts",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} below {self.threshold}"
