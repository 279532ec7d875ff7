"""What a team may spend: its balance, what of it is held, and its credit limit."""

from decimal import Decimal
from typing import ClassVar

import pgtrigger
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.billing.models.ledger import Account
from apps.core.ids import IdField
from apps.core.money import ZERO, AmountField
from apps.core.permissions import Permission
from apps.core.tenancy import TenantQuerySet
from apps.teams.models import Team


class WalletQuerySet(TenantQuerySet):
    read_permission = Permission.BILLING_READ


class Wallet(models.Model):
    """The balance row of a team's customer account; the only account that has one.

    `balance` is the sum of the account's postings, `held` of the team's holds. What is left to spend
    is balance − held + credit limit, and PostgreSQL keeps it from falling below zero. Up to
    the posting `credit_used_posting` what was spent has been assigned to credit grants.
    """

    team = models.OneToOneField(Team, models.PROTECT, primary_key=True, related_name="+")
    account = models.OneToOneField(Account, models.PROTECT, related_name="+")
    currency = models.CharField(_("currency"), max_length=3)
    balance = AmountField(verbose_name=_("balance"), default=ZERO)
    held = AmountField(verbose_name=_("held"), default=ZERO)
    credit_limit = AmountField(verbose_name=_("credit limit"), default=ZERO)
    credit_used_posting = models.BigIntegerField(db_default=0, editable=False)
    is_budgeted = models.BooleanField(db_default=False, editable=False)  # it has, or had, budgets
    created_at = models.DateTimeField(db_default=Now())

    burn: Decimal | None = None  # what runs costs per hour; of wallets read with it

    objects = WalletQuerySet.as_manager()

    class Meta:
        ordering = ("team",)
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(held__gte=0), name="billing_wallet_held"),
            models.CheckConstraint(condition=Q(credit_limit__gte=0), name="billing_wallet_limit"),
            models.CheckConstraint(
                condition=Q(balance__gte=F("held") - F("credit_limit")), name="billing_wallet_covered"
            ),
        ]
        triggers: ClassVar = [
            pgtrigger.Protect(name="kept", operation=pgtrigger.Delete),
            pgtrigger.Protect(
                name="currency_is_fixed",
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition(
                    "OLD.currency IS DISTINCT FROM NEW.currency"
                    " OR OLD.account_id IS DISTINCT FROM NEW.account_id"
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.balance.normalize():f} {self.currency}"

    @property
    def available(self) -> Decimal:
        left: Decimal = self.balance - self.held + self.credit_limit
        return left


class Hold(models.Model):
    """Part of a wallet set aside for what a resource is about to use; one at most per resource.

    A lease of the gateway is a hold too: its id stands for the resource, `holder` is who spends it, and
    workspace and key say on whose behalf.
    """

    resource_id = models.CharField(max_length=40, primary_key=True)
    team = models.ForeignKey(Team, models.PROTECT, related_name="+")
    workspace_id = IdField("wks", null=True)
    key_id = IdField("key", null=True)
    user_id = IdField("usr", null=True)
    holder = models.CharField(_("held by"), max_length=80, db_default="")
    amount = AmountField(verbose_name=_("amount"))
    expires_at = models.DateTimeField(_("expires"), db_index=True)
    created_at = models.DateTimeField(_("held since"), db_default=Now())

    objects = WalletQuerySet.as_manager()

    class Meta:
        ordering = ("team", "resource_id")
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(amount__gte=0), name="billing_hold_amount"),
        ]

    def __str__(self) -> str:
        return f"{self.resource_id} {self.amount}"
