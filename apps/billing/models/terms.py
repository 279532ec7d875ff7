"""What a team's prices rest on besides the price book: its price list, its fees and its commitments."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.billing.models.ledger import frozen
from apps.billing.states import FeePeriod
from apps.core.actor import Actor
from apps.core.ids import IdField
from apps.core.money import ZERO, AmountField
from apps.core.permissions import Permission
from apps.core.tenancy import TenantQuerySet
from apps.teams.models import Team

STANDARD = "standard"


class TermsQuerySet(TenantQuerySet):
    read_permission = Permission.BILLING_READ


class PriceListQuerySet(models.QuerySet["PriceList"]):
    def visible_to(self, actor: Actor, permission: Permission | None = None) -> "PriceListQuerySet":
        """All of them, for whoever may read every price list: the platform's staff."""
        wanted = permission or Permission.PRICE_MANAGE
        return self if actor.scopes(wanted, "platform") or actor.is_staff else self.none()


class PriceList(models.Model):
    """A set of prices that differ from the standard ones; what it does not name costs what it costs there."""

    id = IdField("pls", primary_key=True)
    slug = models.SlugField(_("short name"), max_length=40, unique=True)
    name = models.CharField(_("name"), max_length=80)
    description = models.CharField(_("description"), max_length=300, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    objects = PriceListQuerySet.as_manager()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class PriceListChoice(models.Model):
    """From a moment on, a team pays by this list; the last one that has begun counts."""

    id = models.BigAutoField(primary_key=True)
    team = models.ForeignKey(Team, models.PROTECT, related_name="+", db_index=False)
    book = models.SlugField(_("price list"), max_length=40)
    valid_from = models.DateTimeField(_("from"))
    created_by = models.CharField(_("set by"), max_length=200)
    created_at = models.DateTimeField(db_default=Now())

    objects = TermsQuerySet.as_manager()

    class Meta:
        ordering = ("team", "valid_from")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["team", "valid_from"], name="billing_list_choice_once"),
        ]
        triggers: ClassVar = frozen()

    def __str__(self) -> str:
        return f"{self.team_id} {self.book}"


class Fee(models.Model):
    """What a team pays whether it uses anything or not: once, or at the start of every month (UTC).

    `included` is credit that comes with it and lapses with the month.
    """

    id = IdField("fee", primary_key=True)
    team = models.ForeignKey(Team, models.PROTECT, related_name="+")
    name = models.CharField(_("name"), max_length=80)
    period = models.CharField(_("how often"), max_length=8, choices=FeePeriod.choices)
    amount = AmountField(verbose_name=_("amount"))
    included = AmountField(verbose_name=_("credit included"), default=ZERO)
    starts_on = models.DateField(_("from"))
    ends_on = models.DateField(_("until"), null=True)
    charged_until = models.DateField(null=True)
    is_base = models.BooleanField(db_default=False, editable=False)  # of the team's pricing policy
    created_by = models.CharField(_("set by"), max_length=200)
    created_at = models.DateTimeField(db_default=Now())

    objects = TermsQuerySet.as_manager()

    class Meta:
        ordering = ("team", "starts_on", "name")
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(amount__gte=0, included__gte=0), name="billing_fee_amount"),
            models.CheckConstraint(condition=Q(period__in=FeePeriod.values), name="billing_fee_period"),
            models.CheckConstraint(
                condition=Q(ends_on=None) | Q(ends_on__gte=F("starts_on")), name="billing_fee_span"
            ),
            models.UniqueConstraint(
                fields=["team"], condition=Q(is_base=True, ends_on=None), name="billing_fee_one_base"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Commitment(models.Model):
    """A team's promise to use so much of some products every month; what is missing is charged as true-up.

    `products` is a prefix such as `gpu:` or a whole product; empty means everything.
    """

    id = IdField("com", primary_key=True)
    team = models.ForeignKey(Team, models.PROTECT, related_name="+")
    name = models.CharField(_("name"), max_length=80)
    products = models.CharField(_("products"), max_length=80, blank=True)
    amount = AmountField(verbose_name=_("per month"))
    starts_on = models.DateField(_("from"))
    ends_on = models.DateField(_("until"), null=True)
    settled_until = models.DateField(null=True)
    created_by = models.CharField(_("set by"), max_length=200)
    created_at = models.DateTimeField(db_default=Now())

    objects = TermsQuerySet.as_manager()

    class Meta:
        ordering = ("team", "starts_on", "name")
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="billing_commitment_amount"),
            models.CheckConstraint(
                condition=Q(ends_on=None) | Q(ends_on__gt=F("starts_on")), name="billing_commitment_span"
            ),
        ]

    def __str__(self) -> str:
        return self.name
