"""The price book: versions that follow one another without gap or overlap, and never change."""

from datetime import datetime
from typing import ClassVar

import pgtrigger
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.billing.states import PriceModel
from apps.core.actor import Actor
from apps.core.ids import IdField
from apps.core.money import DEFAULT_CURRENCY, AmountField, PriceField
from apps.core.permissions import Permission

STATES = {
    "in_force": Q(valid_from__lte=Now()) & (Q(valid_until=None) | Q(valid_until__gt=Now())),
    "scheduled": Q(valid_from__gt=Now()),
    "past": Q(valid_until__lte=Now()),
}


class PriceVersionQuerySet(models.QuerySet["PriceVersion"]):
    def at(self, moment: datetime) -> "PriceVersionQuerySet":
        """The versions in force at a moment."""
        return self.filter(Q(valid_until=None) | Q(valid_until__gt=moment), valid_from__lte=moment)

    def overlapping(self, start: datetime, end: datetime) -> "PriceVersionQuerySet":
        return self.filter(Q(valid_until=None) | Q(valid_until__gt=start), valid_from__lt=end)

    def visible_to(self, actor: Actor, permission: Permission | None = None) -> "PriceVersionQuerySet":
        """All of them, for whoever may read prices anywhere: they are no secret."""
        wanted = permission or Permission.PRICE_READ
        return self if any(wanted in held for held in actor.grants.values()) else self.none()

    def in_state(self, state: str) -> "PriceVersionQuerySet":
        """Those that are `in_force`, `scheduled` or `past`, by the database's clock."""
        return self.filter(STATES[state])


class PriceVersion(models.Model):
    """The price of one unit of a product, in one price list and currency, over a span of time.

    The unit of what is charged by time is an hour. With a model other than per unit, `unit_price` is that
    of the first tier or of a package, and `tiers` holds pairs of upper bound (units in a month; null: the
    last) and price; the first `included` units of a month cost nothing.

    `previous_until` repeats the end of the version before: unique, and a foreign key to it (see the
    migration), so that versions can neither overlap nor leave a gap.
    """

    id = IdField("prv", primary_key=True)
    book = models.SlugField(_("price list"), max_length=40, default="standard", db_default="standard")
    product = models.CharField(_("product"), max_length=80)
    currency = models.CharField(_("currency"), max_length=3, default=DEFAULT_CURRENCY)
    model = models.CharField(
        _("model"), max_length=10, choices=PriceModel.choices, default=PriceModel.UNIT, db_default="unit"
    )
    unit_price = PriceField(verbose_name=_("unit price"))
    tiers = models.JSONField(_("tiers"), default=list, db_default=Value([], models.JSONField()))
    package_size = AmountField(verbose_name=_("package of"), default=1, db_default=1)
    included = AmountField(verbose_name=_("included per month"), default=0, db_default=0)
    valid_from = models.DateTimeField(_("from"))
    valid_until = models.DateTimeField(_("until"), null=True)
    previous_until = models.DateTimeField(null=True)
    note = models.CharField(_("note"), max_length=200, blank=True)
    created_by = models.CharField(_("set by"), max_length=200)
    created_at = models.DateTimeField(_("set"), db_default=Now())

    objects = PriceVersionQuerySet.as_manager()

    class Meta:
        ordering = ("product", "book", "currency", "-valid_from")
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(unit_price__gte=0, included__gte=0, package_size__gt=0),
                name="billing_price_not_negative",
            ),
            models.CheckConstraint(condition=Q(model__in=PriceModel.values), name="billing_price_model"),
            models.CheckConstraint(
                condition=Q(valid_until=None) | Q(valid_until__gt=F("valid_from")), name="billing_price_span"
            ),
            models.CheckConstraint(
                condition=Q(previous_until=None) | Q(previous_until=F("valid_from")),
                name="billing_price_no_gap",
            ),
            models.UniqueConstraint(
                fields=["book", "product", "currency", "valid_until"],
                nulls_distinct=False,
                name="billing_price_one_end",
            ),
            models.UniqueConstraint(
                fields=["book", "product", "currency", "previous_until"],
                nulls_distinct=False,
                name="billing_price_one_start",
            ),
        ]
        triggers: ClassVar = [
            pgtrigger.Trigger(
                name="past_is_fixed",
                operation=pgtrigger.Update | pgtrigger.Delete,
                when=pgtrigger.Before,
                declare=[("same", "boolean")],
                func="""
                IF TG_OP = 'DELETE' THEN
                    IF OLD.valid_from <= clock_timestamp() THEN
                        RAISE EXCEPTION 'a price that was in force is not deleted'
                            USING ERRCODE = 'restrict_violation';
                    END IF;
                    RETURN OLD;
                END IF;
                same := (OLD.id, OLD.product, OLD.currency, OLD.unit_price, OLD.valid_from)
                    IS NOT DISTINCT FROM
                        (NEW.id, NEW.product, NEW.currency, NEW.unit_price, NEW.valid_from)
                    AND (OLD.book, OLD.model, OLD.tiers, OLD.package_size, OLD.included)
                    IS NOT DISTINCT FROM
                        (NEW.book, NEW.model, NEW.tiers, NEW.package_size, NEW.included)
                    AND (OLD.previous_until, OLD.note, OLD.created_by, OLD.created_at)
                    IS NOT DISTINCT FROM
                        (NEW.previous_until, NEW.note, NEW.created_by, NEW.created_at);
                IF NOT same
                    OR coalesce(OLD.valid_until, 'infinity') <= clock_timestamp()
                    OR coalesce(NEW.valid_until, 'infinity') < transaction_timestamp() THEN
                    RAISE EXCEPTION 'a price is not changed after the fact'
                        USING ERRCODE = 'restrict_violation';
                END IF;
                RETURN NEW;
                """,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.product} {self.unit_price.normalize():f} {self.currency}"
