"""Payments, and how their money goes back: refunds and disputes."""

from decimal import Decimal
from typing import ClassVar

import pgtrigger
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.core.ids import IdField
from apps.core.money import ZERO, AmountField
from apps.invoicing.models import Invoice
from apps.payments.models.methods import MoneyQuerySet, PaymentMethod
from apps.payments.states import (
    DISPUTE,
    OPEN,
    PAYMENT,
    REFUND,
    DisputeState,
    PaymentState,
    Provider,
    Purpose,
    RefundState,
)
from apps.teams.models import Team


class PaymentQuerySet(MoneyQuerySet):
    def open(self) -> "PaymentQuerySet":
        return self.filter(state__in=OPEN)


class Payment(models.Model):
    """Money that a team is to pay, is paying or has paid; once it has, one ledger transaction.

    `reference` is what a bank transfer must say. `due_at` is when the provider is looked at next.
    """

    id = IdField("pay", primary_key=True)
    team = models.ForeignKey(Team, models.PROTECT, related_name="+", db_index=False)
    provider = models.CharField(_("how"), max_length=8, choices=Provider.choices)
    purpose = models.CharField(_("for"), max_length=8, choices=Purpose.choices)
    invoice = models.ForeignKey(Invoice, models.PROTECT, null=True, related_name="+")
    method = models.ForeignKey(PaymentMethod, models.PROTECT, null=True, related_name="+", db_index=False)
    is_automatic = models.BooleanField(_("automatic"), default=False)
    state = models.CharField(
        _("state"), max_length=10, choices=PaymentState.choices, default=PaymentState.PENDING
    )
    currency = models.CharField(_("currency"), max_length=3)
    amount = AmountField(verbose_name=_("amount"))
    refunded = AmountField(verbose_name=_("refunded"), default=ZERO)
    reference = models.CharField(_("reference"), max_length=20, unique=True)
    external_id = models.CharField(max_length=120, null=True, unique=True)  # noqa: DJ001 - unique
    intent_id = models.CharField(max_length=120, null=True, unique=True)  # noqa: DJ001 - unique
    pay_url = models.TextField(blank=True)
    problem_code = models.CharField(max_length=60, blank=True)
    problem = models.CharField(_("problem"), max_length=300, blank=True)
    transaction_id = IdField("ltx", null=True)
    created_by = models.CharField(_("by"), max_length=200)
    created_at = models.DateTimeField(_("asked"), db_default=Now())
    succeeded_at = models.DateTimeField(_("received"), null=True)
    due_at = models.DateTimeField(null=True, db_index=True, db_default=Now())
    attempts = models.PositiveSmallIntegerField(default=0)

    objects = PaymentQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "-id")
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(amount__gt=0, refunded__gte=0, refunded__lte=F("amount")),
                name="payments_amounts",
            ),
            models.CheckConstraint(
                condition=Q(purpose=Purpose.INVOICE, invoice__isnull=False)
                | Q(purpose=Purpose.TOP_UP, invoice=None),
                name="payments_purpose",
            ),
            models.CheckConstraint(
                condition=Q(state=PaymentState.SUCCEEDED, transaction_id__isnull=False)
                | ~Q(state=PaymentState.SUCCEEDED) & Q(transaction_id=None),
                name="payments_received_is_booked",
            ),
            models.UniqueConstraint(
                fields=["team"],
                condition=Q(is_automatic=True, state__in=OPEN, purpose=Purpose.TOP_UP),
                name="payments_one_automatic",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["team", "-created_at"], name="payments_of_team")]
        triggers: ClassVar = [
            pgtrigger.FSM(name="states", field="state", transitions=PAYMENT.edges()),
            pgtrigger.Protect(name="kept", operation=pgtrigger.Delete),
            pgtrigger.Protect(
                name="amount_is_fixed",
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition(
                    "((OLD.amount, OLD.currency, OLD.team_id, OLD.reference)"
                    " IS DISTINCT FROM (NEW.amount, NEW.currency, NEW.team_id, NEW.reference)"
                    " OR (OLD.transaction_id IS NOT NULL"
                    " AND OLD.transaction_id IS DISTINCT FROM NEW.transaction_id))"
                ),
            ),
        ]

    def __str__(self) -> str:
        return self.reference

    @property
    def name(self) -> str:
        return self.reference

    @property
    def refundable(self) -> Decimal:
        """What has been received and not yet been promised back."""
        left: Decimal = self.amount - self.refunded
        return left if self.state == PaymentState.SUCCEEDED else ZERO


class Refund(models.Model):
    """Part of a payment that goes back, from the team's balance to where it came from.

    The amount leaves the balance when it is asked for and returns when the refund comes to nothing.
    """

    id = IdField("rfd", primary_key=True)
    payment = models.ForeignKey(Payment, models.PROTECT, related_name="refunds")
    team = models.ForeignKey(Team, models.PROTECT, related_name="+")
    state = models.CharField(_("state"), max_length=10, choices=RefundState.choices)
    currency = models.CharField(_("currency"), max_length=3)
    amount = AmountField(verbose_name=_("amount"))
    reason = models.CharField(_("reason"), max_length=200)
    requested_by = models.CharField(_("asked by"), max_length=200)
    requester_id = models.CharField(max_length=40)
    decided_by = models.CharField(_("decided by"), max_length=200, blank=True)
    decider_id = models.CharField(max_length=40, blank=True)
    needs_approval = models.BooleanField(default=False)
    external_id = models.CharField(max_length=120, null=True, unique=True)  # noqa: DJ001 - unique
    problem = models.CharField(_("problem"), max_length=300, blank=True)
    transaction_id = IdField("ltx", null=True)
    created_at = models.DateTimeField(_("asked"), db_default=Now())
    finished_at = models.DateTimeField(_("finished"), null=True)
    due_at = models.DateTimeField(null=True, db_index=True)
    attempts = models.PositiveSmallIntegerField(default=0)

    objects = MoneyQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "-id")
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="payments_refund_amount"),
            models.CheckConstraint(
                condition=Q(needs_approval=False)
                | Q(state__in=[RefundState.REQUESTED, RefundState.REJECTED])
                | ~Q(decider_id="") & ~Q(decider_id=F("requester_id")),
                name="payments_refund_two_people",
            ),
        ]
        triggers: ClassVar = [
            pgtrigger.FSM(name="states", field="state", transitions=REFUND.edges()),
            pgtrigger.Protect(name="kept", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"{self.amount.normalize():f} {self.currency}"


class Dispute(models.Model):
    """A payment that its cardholder contests: the provider takes the money back until it is decided."""

    id = IdField("dsp", primary_key=True)
    payment = models.ForeignKey(Payment, models.PROTECT, related_name="disputes")
    team = models.ForeignKey(Team, models.PROTECT, related_name="+")
    state = models.CharField(
        _("state"), max_length=6, choices=DisputeState.choices, default=DisputeState.OPEN
    )
    currency = models.CharField(_("currency"), max_length=3)
    amount = AmountField(verbose_name=_("amount"))
    reason = models.CharField(_("reason"), max_length=60, blank=True)
    external_id = models.CharField(max_length=120, unique=True)
    transaction_id = IdField("ltx")
    reversal_id = IdField("ltx", null=True)
    created_at = models.DateTimeField(_("opened"), db_default=Now())
    decided_at = models.DateTimeField(_("decided"), null=True)

    objects = MoneyQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "-id")
        triggers: ClassVar = [
            pgtrigger.FSM(name="states", field="state", transitions=DISPUTE.edges()),
            pgtrigger.Protect(name="kept", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return self.external_id
