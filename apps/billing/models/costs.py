"""What providers and partners charge us for what we sell."""

from typing import Any, ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.billing.models.ledger import frozen
from apps.core.actor import Actor
from apps.core.ids import IdField
from apps.core.money import AmountField, PriceField
from apps.core.permissions import Permission


class CostQuerySet(models.QuerySet[Any]):
    """Rows of the platform, for those of its staff who may read money."""

    def visible_to(self, actor: Actor, permission: Permission | None = None) -> "CostQuerySet":
        return self if actor.scopes(permission or Permission.BILLING_READ, "platform") else self.none()


class ProviderCost(models.Model):
    """A line of a provider's bill: so much for a product in a region over some days. Below zero: a credit.

    No region or product: it is for all of them.
    """

    id = IdField("pco", primary_key=True)
    provider = models.CharField(_("provider"), max_length=80)
    region_id = IdField("reg", null=True)
    product = models.CharField(_("product"), max_length=80, blank=True)
    currency = models.CharField(_("currency"), max_length=3)
    amount = AmountField(verbose_name=_("amount"))
    starts_on = models.DateField(_("from"))
    ends_on = models.DateField(_("until"))
    reference = models.CharField(_("reference"), max_length=100, unique=True)
    transaction_id = IdField("ltx", unique=True)
    created_by = models.CharField(_("by"), max_length=200)
    created_at = models.DateTimeField(db_default=Now())

    objects = CostQuerySet.as_manager()

    class Meta:
        ordering = ("-ends_on", "-id")
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=~Q(amount=0) & Q(ends_on__gte=F("starts_on")), name="billing_provider_cost_span"
            ),
        ]
        triggers: ClassVar = frozen()

    def __str__(self) -> str:
        return self.reference

    @property
    def days(self) -> int:
        """Over how many days it spreads, both ends included."""
        return int((self.ends_on - self.starts_on).days) + 1


class ProviderRate(models.Model):
    """What an external provider charges us per million tokens from `at` on; the next one ends it."""

    id = IdField("prr", primary_key=True)
    replica_id = IdField("rep")
    currency = models.CharField(_("currency"), max_length=3)
    input = PriceField(verbose_name=_("input"))
    cached = PriceField(verbose_name=_("cached input"))
    output = PriceField(verbose_name=_("output"))
    at = models.DateTimeField(_("from"))
    created_by = models.CharField(_("by"), max_length=200)

    objects = CostQuerySet.as_manager()

    class Meta:
        ordering = ("-at", "-id")
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(input__gte=0, cached__gte=0, output__gte=0), name="billing_provider_rate"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["replica_id", "-at", "-id"], name="billing_provider_rate_of"),
        ]
        triggers: ClassVar = frozen()

    def __str__(self) -> str:
        return f"{self.replica_id} {self.currency}"


class ProviderDay(models.Model):
    """What the tokens of a day cost us at an external provider by its rates, added up as they are settled."""

    replica_id = IdField("rep")
    day = models.DateField(_("day"))
    product = models.CharField(_("product"), max_length=80)
    currency = models.CharField(_("currency"), max_length=3)
    tokens = models.PositiveBigIntegerField(_("tokens"))
    amount = AmountField(verbose_name=_("amount"))

    objects = CostQuerySet.as_manager()

    class Meta:
        ordering = ("-day", "product")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["day", "currency", "replica_id", "product"], name="billing_provider_day_once"
            ),
            models.CheckConstraint(condition=Q(amount__gte=0), name="billing_provider_day_amount"),
        ]

    def __str__(self) -> str:
        return f"{self.replica_id} {self.day} {self.product}"
