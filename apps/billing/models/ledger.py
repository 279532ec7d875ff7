"""The double-entry ledger: accounts, transactions, postings; added to, never changed."""

from typing import ClassVar

import pgtrigger
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.core.ids import IdField
from apps.core.money import AmountField
from apps.core.permissions import Permission
from apps.core.tenancy import TenantQuerySet
from apps.teams.models import Team


class AccountKind(models.TextChoices):
    CUSTOMER = "customer", _("Customer")
    REVENUE = "revenue", _("Revenue")
    UNCOLLECTED = "uncollected", _("Uncollected")
    FUNDING = "funding", _("Received payments")
    GRANTS = "grants", _("Granted credit")
    VOUCHERS = "vouchers", _("Redeemed vouchers")
    CLEARING = "payment_clearing", _("Payments on their way")
    FEES = "payment_fees", _("Fees of payments")
    REFUNDS = "refunds", _("Refunds")
    CREDITED = "credited", _("Credit notes")
    RECEIVABLE = "receivable", _("Invoiced, not yet paid")
    BAD_DEBT = "bad_debt", _("Given up")
    TAX = "tax", _("Tax to be paid")
    ROUNDING = "rounding", _("Rounding")
    EXPIRED = "expired", _("Expired credit")
    PROVIDER_COST = "provider_cost", _("Cost of providers")
    PROVIDERS = "providers", _("Owed to providers")


class TransactionKind(models.TextChoices):
    USAGE = "usage", _("Usage")
    TOP_UP = "top_up", _("Top-up")
    GRANT = "grant", _("Credit grant")
    VOUCHER = "voucher", _("Voucher")
    EXPIRY = "expiry", _("Expired credit")
    FEE = "fee", _("Fee")
    TRUE_UP = "true_up", _("Commitment")
    PAYMENT = "payment", _("Payment")
    PAYOUT = "payout", _("Payout")
    REFUND = "refund", _("Refund")
    DISPUTE = "dispute", _("Disputed payment")
    INVOICE = "invoice", _("Invoice")
    WRITE_OFF = "write_off", _("Invoice given up")
    CREDIT_NOTE = "credit_note", _("Credit note")
    TAX = "tax", _("Tax")
    ROUNDING = "rounding", _("Rounding")
    PROVIDER_COST = "provider_cost", _("Cost of a provider")
    CORRECTION = "correction", _("Correction")


def frozen() -> list[pgtrigger.Trigger]:
    """The triggers of a table whose rows are facts."""
    return [pgtrigger.Protect(name="append_only", operation=pgtrigger.Update | pgtrigger.Delete)]


class LedgerQuerySet(TenantQuerySet):
    read_permission = Permission.BILLING_READ


class Account(models.Model):
    """One per kind and currency, and per team for customers; its balance is the sum of its postings.

    Positive is credit to the owner: what we owe a customer, or what a revenue account has earned. So
    `funding` and `payment_clearing` are negative while they hold money that came in.
    """

    id = IdField("acc", primary_key=True)
    kind = models.CharField(_("kind"), max_length=16, choices=AccountKind.choices)
    currency = models.CharField(_("currency"), max_length=3)
    team = models.ForeignKey(Team, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(db_default=Now())

    objects = LedgerQuerySet.as_manager()

    class Meta:
        ordering = ("kind", "currency", "id")
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(kind__in=AccountKind.values), name="billing_account_kind"),
            models.CheckConstraint(
                condition=Q(kind="customer", team__isnull=False) | ~Q(kind="customer") & Q(team=None),
                name="billing_account_owner",
            ),
            models.UniqueConstraint(
                fields=["kind", "currency", "team"], nulls_distinct=False, name="billing_account_once"
            ),
        ]
        triggers: ClassVar = frozen()

    def __str__(self) -> str:
        return f"{self.kind} {self.currency}"


class Transaction(models.Model):
    """Something that happened to money. The id comes from the caller: the same event has the same id."""

    id = IdField("ltx", primary_key=True)
    kind = models.CharField(_("kind"), max_length=16, choices=TransactionKind.choices)
    team = models.ForeignKey(Team, models.PROTECT, null=True, related_name="+", db_index=False)
    currency = models.CharField(_("currency"), max_length=3)
    reference = models.CharField(_("reference"), max_length=120)
    description = models.CharField(_("description"), max_length=200, blank=True)
    actor_label = models.CharField(_("by"), max_length=200, blank=True)
    booked_at = models.DateTimeField(_("booked"))
    created_at = models.DateTimeField(db_default=Now())

    objects = LedgerQuerySet.as_manager()

    class Meta:
        ordering = ("-booked_at", "-id")
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(kind__in=TransactionKind.values), name="billing_transaction_kind"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["team", "-booked_at", "-id"], name="billing_transaction_team"),
            models.Index(fields=["-booked_at", "-id"], name="billing_transaction_time"),
            models.Index(
                fields=["kind", "-booked_at"], name="billing_transaction_kinds", condition=~Q(kind="usage")
            ),
        ]
        triggers: ClassVar = frozen()

    def __str__(self) -> str:
        return f"{self.kind} {self.reference}"


class Posting(models.Model):
    """An amount on an account; positive is credit to its owner. Those of a transaction add up to zero.

    The sum is checked at commit by a deferred constraint trigger (see the migration).
    """

    id = models.BigAutoField(primary_key=True)
    transaction = models.ForeignKey(Transaction, models.PROTECT, related_name="postings")
    account = models.ForeignKey(Account, models.PROTECT, related_name="postings", db_index=False)
    team = models.ForeignKey(Team, models.PROTECT, null=True, related_name="+", db_index=False)
    amount = AmountField(verbose_name=_("amount"))

    objects = LedgerQuerySet.as_manager()

    class Meta:
        ordering = ("id",)
        constraints: ClassVar = [
            models.CheckConstraint(condition=~Q(amount=0), name="billing_posting_not_zero"),
        ]
        indexes: ClassVar = [models.Index(fields=["account", "id"], name="billing_posting_account")]
        triggers: ClassVar = frozen()

    def __str__(self) -> str:
        return f"{self.amount}"
