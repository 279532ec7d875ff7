"""Who bills (legal entities with their number sequences), who is billed, and the tax between them."""

from typing import Any, ClassVar

import pgtrigger
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.core.actor import Actor
from apps.core.ids import IdField
from apps.core.permissions import Permission
from apps.core.tenancy import TenantQuerySet
from apps.teams.models import Team


class OfStaffQuerySet(models.QuerySet[Any]):
    """Rows of the platform, for those of its staff who may read money."""

    def visible_to(self, actor: Actor, permission: Permission | None = None) -> "OfStaffQuerySet":
        wanted = permission or Permission.BILLING_READ
        return self if actor.scopes(wanted, "platform") else self.none()


class LegalEntity(models.Model):
    """A company of the provider's that issues invoices; teams are billed by that of their currency,
    or by the default one."""

    id = IdField("ent", primary_key=True)
    name = models.CharField(_("name"), max_length=120)
    street = models.CharField(_("street"), max_length=120, blank=True)
    postal_code = models.CharField(_("postal code"), max_length=20, blank=True)
    city = models.CharField(_("city"), max_length=80, blank=True)
    country = models.CharField(_("country"), max_length=2)
    tax_id = models.CharField(_("tax number"), max_length=40, blank=True)
    registration = models.CharField(_("registration"), max_length=120, blank=True)
    email = models.EmailField(_("e-mail"), blank=True)
    bank_details = models.TextField(_("bank details"), max_length=400, blank=True)
    currency = models.CharField(_("currency"), max_length=3)
    number_prefix = models.SlugField(_("number prefix"), max_length=12, unique=True)
    payment_days = models.PositiveSmallIntegerField(_("days to pay"), default=14)
    is_default = models.BooleanField(_("default"), default=False)
    created_at = models.DateTimeField(db_default=Now())

    objects = OfStaffQuerySet.as_manager()

    class Meta:
        ordering = ("name", "id")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["is_default"], condition=Q(is_default=True), name="invoicing_one_default_entity"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class DocumentKind(models.TextChoices):
    INVOICE = "invoice", _("Invoice")
    CREDIT_NOTE = "credit_note", _("Credit note")


class DocumentSequence(models.Model):
    """The next number of one kind of document of an entity, and the hash of its last one.

    Whoever finalizes a document holds this row's lock until commit: so numbers have no gaps and every
    document carries the hash of the one before.
    """

    entity = models.ForeignKey(LegalEntity, models.PROTECT, related_name="sequences")
    kind = models.CharField(max_length=12, choices=DocumentKind.choices)
    next_number = models.PositiveIntegerField(default=1)
    last_hash = models.CharField(max_length=64, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["entity", "kind"], name="invoicing_sequence_once"),
        ]
        triggers: ClassVar = [
            pgtrigger.Protect(name="kept", operation=pgtrigger.Delete),
            pgtrigger.Protect(
                name="one_at_a_time",
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition("(NEW.next_number <> OLD.next_number + 1)"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.next_number}"


class BillingProfileQuerySet(TenantQuerySet):
    read_permission = Permission.BILLING_READ


class BillingProfile(models.Model):
    """Whom a team's invoices are made out to. A tax number makes it a business."""

    team = models.OneToOneField(Team, models.CASCADE, primary_key=True, related_name="+")
    name = models.CharField(_("name"), max_length=120)
    street = models.CharField(_("street"), max_length=120, blank=True)
    postal_code = models.CharField(_("postal code"), max_length=20, blank=True)
    city = models.CharField(_("city"), max_length=80, blank=True)
    country = models.CharField(_("country"), max_length=2)
    tax_id = models.CharField(_("tax number"), max_length=40, blank=True)
    email = models.EmailField(_("e-mail for invoices"), blank=True)
    reference = models.CharField(_("your reference"), max_length=80, blank=True)
    updated_at = models.DateTimeField(db_default=Now())

    objects = BillingProfileQuerySet.as_manager()

    class Meta:
        ordering = ("team",)

    def __str__(self) -> str:
        return self.name


class TaxRate(models.Model):
    """A rate of a country from a day on; it is never changed, a later row replaces it."""

    id = IdField("tax", primary_key=True)
    country = models.CharField(_("country"), max_length=2)
    category = models.CharField(_("category"), max_length=40, blank=True)
    name = models.CharField(_("name"), max_length=40)
    rate = models.DecimalField(_("rate"), max_digits=7, decimal_places=6)
    is_inclusive = models.BooleanField(_("included in prices"), default=False)
    reverse_charge = models.BooleanField(_("reverse charge for businesses abroad"), default=False)
    valid_from = models.DateField(_("from"))
    created_by = models.CharField(_("set by"), max_length=200)
    created_at = models.DateTimeField(db_default=Now())

    objects = OfStaffQuerySet.as_manager()

    class Meta:
        ordering = ("country", "category", "-valid_from")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["country", "category", "valid_from"], name="invoicing_tax_rate_once"
            ),
            models.CheckConstraint(condition=Q(rate__gte=0, rate__lt=1), name="invoicing_tax_rate_range"),
        ]
        triggers: ClassVar = [
            pgtrigger.Protect(name="append_only", operation=pgtrigger.Update | pgtrigger.Delete)
        ]

    def __str__(self) -> str:
        return f"{self.country} {self.name}"
