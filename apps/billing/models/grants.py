"""Credit that was given rather than paid: in which order it is used up, what is left, when it lapses."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.billing.models.ledger import frozen
from apps.core.actor import PLATFORM, Actor
from apps.core.ids import IdField
from apps.core.money import AmountField
from apps.core.permissions import Permission
from apps.core.tenancy import TenantQuerySet
from apps.teams.models import Team


class GrantQuerySet(TenantQuerySet):
    read_permission = Permission.BILLING_READ


class CreditGrant(models.Model):
    """Granted credit; used before paid money, by priority (low first), then earliest expiry, then age.

    `remaining` is what no use has been assigned to yet: a cache of `amount` less its uses.
    """

    id = IdField("cgr", primary_key=True)
    team = models.ForeignKey(Team, models.PROTECT, related_name="+")
    transaction_id = IdField("ltx", unique=True)
    reason = models.CharField(_("for"), max_length=200)
    amount = AmountField(verbose_name=_("amount"))
    remaining = AmountField(verbose_name=_("left"))
    priority = models.PositiveSmallIntegerField(_("priority"), default=50)
    expires_at = models.DateTimeField(_("lapses"), null=True)
    expired_at = models.DateTimeField(_("lapsed"), null=True)
    created_at = models.DateTimeField(_("granted"), db_default=Now())

    objects = GrantQuerySet.as_manager()

    class Meta:
        ordering = ("priority", F("expires_at").asc(nulls_last=True), "id")
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(amount__gt=0, remaining__gte=0, remaining__lte=F("amount")),
                name="billing_grant_remaining",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["expires_at"],
                name="billing_grant_lapses",
                condition=Q(expired_at=None, remaining__gt=0),
            ),
        ]

    def __str__(self) -> str:
        return self.reason


class GrantUse(models.Model):
    """Part of what a team was charged for a month (UTC: from `since` up to `until`) was paid from a grant."""

    id = models.BigAutoField(primary_key=True)
    grant = models.ForeignKey(CreditGrant, models.PROTECT, related_name="uses")
    team = models.ForeignKey(Team, models.PROTECT, related_name="+", db_index=False)
    amount = AmountField()
    since = models.DateTimeField()
    until = models.DateTimeField()
    created_at = models.DateTimeField(db_default=Now())

    objects = GrantQuerySet.as_manager()

    class Meta:
        ordering = ("id",)
        constraints: ClassVar = [
            models.CheckConstraint(condition=~Q(amount=0), name="billing_grant_use_amount"),
        ]
        indexes: ClassVar = [models.Index(fields=["team", "until"], name="billing_grant_use_team")]
        triggers: ClassVar = frozen()

    def __str__(self) -> str:
        return f"{self.amount}"


class VoucherQuerySet(models.QuerySet["Voucher"]):
    def visible_to(self, actor: Actor, permission: Permission | None = None) -> "VoucherQuerySet":
        """All of them, for those who may give credit away."""
        return self if actor.can(permission or Permission.WALLET_CREDIT, PLATFORM) else self.none()


class Voucher(models.Model):
    """A code that turns into credit for whoever enters it, so many times in all and once per team.

    Only the code's hash is kept, with its first letters to recognise it by.
    """

    id = IdField("vou", primary_key=True)
    code_hash = models.BinaryField(max_length=32, unique=True)
    hint = models.CharField(_("code"), max_length=8)
    name = models.CharField(_("for"), max_length=120)
    currency = models.CharField(_("currency"), max_length=3)
    amount = AmountField(verbose_name=_("amount"))
    uses_left = models.PositiveIntegerField(_("uses left"))
    valid_until = models.DateTimeField(_("valid until"), null=True)
    credit_days = models.PositiveSmallIntegerField(_("credit lapses after days"), null=True)
    created_by = models.CharField(_("made by"), max_length=200)
    created_at = models.DateTimeField(_("made"), db_default=Now())

    objects = VoucherQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "-id")
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="billing_voucher_amount"),
        ]

    def __str__(self) -> str:
        return self.name
