"""Invoices with their lines, and the runs that make a month of them."""

from decimal import Decimal
from typing import ClassVar

import pgtrigger
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.core.ids import IdField
from apps.core.money import ZERO, AmountField, PriceField
from apps.core.permissions import Permission
from apps.core.tenancy import TenantQuerySet
from apps.invoicing.models.parties import LegalEntity, OfStaffQuerySet
from apps.invoicing.states import INVOICE, RUN, InvoiceState, LineKind, RunState
from apps.teams.models import Team

# What may still change of an invoice that has a number: how it is being paid.
MUTABLE = ("state", "amount_paid", "amount_credited", "paid_at", "sent_at")


class InvoiceRun(models.Model):
    """A month's invoices, made one by one; the counts are the run's progress."""

    id = IdField("irn", primary_key=True)
    period_start = models.DateTimeField(_("from"))
    period_end = models.DateTimeField(_("until"), unique=True)
    state = models.CharField(_("state"), max_length=8, choices=RunState.choices, default=RunState.WAITING)
    finalize_at = models.DateTimeField(_("final from"))
    operation_id = IdField("op", null=True)
    created_by = models.CharField(_("asked by"), max_length=200)
    created_at = models.DateTimeField(_("asked"), db_default=Now())
    finished_at = models.DateTimeField(_("finished"), null=True)

    objects = OfStaffQuerySet.as_manager()

    class Meta:
        ordering = ("-period_end",)
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(period_end__gt=F("period_start")), name="invoicing_run_span"),
        ]
        triggers: ClassVar = [pgtrigger.FSM(name="states", field="state", transitions=RUN.edges())]

    def __str__(self) -> str:
        return f"{self.period_start:%Y-%m}"


class InvoiceQuerySet(TenantQuerySet):
    read_permission = Permission.BILLING_READ

    def final(self) -> "InvoiceQuerySet":
        """Those that have a number."""
        return self.exclude(state=InvoiceState.DRAFT)

    def unpaid(self) -> "InvoiceQuerySet":
        return self.filter(state=InvoiceState.OPEN)


class Invoice(models.Model):
    """What a team is asked to pay for a period.

    A draft holds nothing but its period; all else is written when it becomes final and then stays.
    `due_receivable` and `due_balance` are the two parts of what was left to pay then: what was posted as
    receivable, and what the team's balance owed below zero. `amount_credited` is what credit notes took
    off that.
    """

    id = IdField("inv", primary_key=True)
    entity = models.ForeignKey(LegalEntity, models.PROTECT, related_name="invoices")
    team = models.ForeignKey(Team, models.PROTECT, related_name="+", db_index=False)
    run = models.ForeignKey(InvoiceRun, models.PROTECT, null=True, related_name="invoices")
    state = models.CharField(
        _("state"), max_length=14, choices=InvoiceState.choices, default=InvoiceState.DRAFT
    )
    currency = models.CharField(_("currency"), max_length=3)
    period_start = models.DateTimeField(_("from"))
    period_end = models.DateTimeField(_("until"))
    serial = models.PositiveIntegerField(null=True)
    number = models.CharField(_("number"), max_length=40, null=True, unique=True)  # noqa: DJ001 - unique
    subtotal = AmountField(verbose_name=_("subtotal"), default=ZERO)
    discount = AmountField(verbose_name=_("granted credit"), default=ZERO)
    tax = AmountField(verbose_name=_("tax"), default=ZERO)
    total = AmountField(verbose_name=_("total"), default=ZERO)
    due_receivable = AmountField(default=ZERO)
    due_balance = AmountField(default=ZERO)
    amount_paid = AmountField(verbose_name=_("paid"), default=ZERO)
    amount_credited = AmountField(verbose_name=_("credited"), default=ZERO)
    snapshot = models.JSONField(default=dict)
    previous_hash = models.CharField(max_length=64, blank=True)
    content_hash = models.CharField(max_length=64, blank=True)
    transaction_id = IdField("ltx", null=True)
    finalized_at = models.DateTimeField(_("issued"), null=True)
    due_at = models.DateTimeField(_("due"), null=True)
    paid_at = models.DateTimeField(_("paid on"), null=True)
    sent_at = models.DateTimeField(_("mailed"), null=True)
    parked_because = models.CharField(_("parked because"), max_length=300, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    objects = InvoiceQuerySet.as_manager()

    class Meta:
        ordering = ("-period_end", "-id")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["team", "period_start"], name="invoicing_invoice_once"),
            models.UniqueConstraint(fields=["entity", "serial"], name="invoicing_number_once"),
            models.CheckConstraint(
                condition=Q(state=InvoiceState.DRAFT, number=None, content_hash="")
                | ~Q(state=InvoiceState.DRAFT) & Q(number__isnull=False) & ~Q(content_hash=""),
                name="invoicing_final_has_number",
            ),
            models.CheckConstraint(
                condition=Q(due_receivable__gte=0, due_balance__gte=0, amount_paid__gte=0)
                & Q(amount_credited__gte=0)
                & Q(amount_paid__lte=F("due_receivable") + F("due_balance") - F("amount_credited")),
                name="invoicing_amounts",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["state", "period_end"], name="invoicing_by_state"),
        ]
        triggers: ClassVar = [
            pgtrigger.FSM(name="states", field="state", transitions=INVOICE.edges()),
            pgtrigger.Trigger(
                name="final_is_fixed",
                operation=pgtrigger.Update | pgtrigger.Delete,
                when=pgtrigger.Before,
                condition=pgtrigger.Condition("(OLD.state <> 'draft')"),
                func=f"""
                IF TG_OP = 'DELETE' OR to_jsonb(NEW) - ARRAY{list(MUTABLE)}
                    IS DISTINCT FROM to_jsonb(OLD) - ARRAY{list(MUTABLE)} THEN
                    RAISE EXCEPTION 'an invoice with a number is not changed'
                        USING ERRCODE = 'restrict_violation';
                END IF;
                RETURN NEW;
                """,
            ),
        ]

    def __str__(self) -> str:
        return self.number or str(self.pk)

    @property
    def name(self) -> str:
        return self.number or str(_("Draft"))

    @property
    def amount_due(self) -> Decimal:
        """What is still to be paid."""
        if self.state not in (InvoiceState.OPEN, InvoiceState.UNCOLLECTIBLE):
            return ZERO
        due: Decimal = self.due_receivable + self.due_balance - self.amount_paid - self.amount_credited
        return due

    @property
    def receivable_left(self) -> Decimal:
        """What of it stands on the receivable account: that part is paid first."""
        left: Decimal = self.due_receivable - self.amount_paid - self.amount_credited
        return max(left, ZERO)

    @property
    def from_balance(self) -> Decimal:
        """What the balance had covered when the invoice was issued."""
        covered: Decimal = self.total - self.due_receivable - self.due_balance
        return covered


_ONLY_DRAFTS = """
IF (SELECT state FROM invoicing_invoice
     WHERE id = CASE WHEN TG_OP = 'DELETE' THEN OLD.invoice_id ELSE NEW.invoice_id END) <> 'draft' THEN
    RAISE EXCEPTION 'the lines of an invoice with a number are not changed'
        USING ERRCODE = 'restrict_violation';
END IF;
RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
"""


class InvoiceLine(models.Model):
    """One line: what was used of a product at a price, credit taken off, or tax."""

    invoice = models.ForeignKey(Invoice, models.PROTECT, related_name="lines", db_index=False)
    team = models.ForeignKey(Team, models.PROTECT, related_name="+", db_index=False)
    position = models.PositiveSmallIntegerField()
    kind = models.CharField(_("kind"), max_length=14, choices=LineKind.choices)
    description = models.CharField(_("what"), max_length=200, blank=True)
    product = models.CharField(_("product"), max_length=80, blank=True)
    unit = models.CharField(_("unit"), max_length=16, blank=True)
    quantity = models.DecimalField(_("quantity"), max_digits=38, decimal_places=12)
    unit_price = PriceField(verbose_name=_("price"))
    workspace_id = IdField("wks", null=True)
    workspace = models.CharField(_("workspace"), max_length=60, blank=True)
    rows = models.PositiveIntegerField(default=0)
    exact = AmountField()
    amount = AmountField(verbose_name=_("amount"))
    tax_name = models.CharField(_("tax"), max_length=40, blank=True)
    tax_rate = models.DecimalField(max_digits=7, decimal_places=6, default=ZERO)
    tax_note = models.CharField(max_length=20, blank=True)

    objects = InvoiceQuerySet.as_manager()

    class Meta:
        ordering = ("invoice", "position")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["invoice", "position"], name="invoicing_line_position"),
        ]
        triggers: ClassVar = [
            pgtrigger.Trigger(
                name="only_drafts",
                operation=pgtrigger.Insert | pgtrigger.Update | pgtrigger.Delete,
                when=pgtrigger.Before,
                func=_ONLY_DRAFTS,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.product or self.kind} {self.amount}"


class InvoicedUsage(models.Model):
    """That a rated row stands on an invoice, and on which line: once, by its primary key.

    The invoice is checked by `billing_verify` rather than by a foreign key: there are as many of these
    rows as there are rated ones.
    """

    rated_id = models.BigIntegerField(primary_key=True)
    team = models.ForeignKey(Team, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False)
    invoice = models.ForeignKey(
        Invoice, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    position = models.PositiveSmallIntegerField()

    objects = InvoiceQuerySet.as_manager()

    class Meta:
        indexes: ClassVar = [models.Index(fields=["invoice", "position"], name="invoicing_usage_of_line")]
        triggers: ClassVar = [
            pgtrigger.Protect(name="append_only", operation=pgtrigger.Update | pgtrigger.Delete)
        ]

    def __str__(self) -> str:
        return str(self.rated_id)
