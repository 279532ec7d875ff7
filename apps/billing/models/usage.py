"""Usage: running meters, the intervals they are cut into, what those cost, and the log that checks them."""

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.billing.models.ledger import frozen
from apps.billing.models.prices import PriceVersion
from apps.core.ids import IdField
from apps.core.money import ZERO, AmountField, PriceField
from apps.core.permissions import Permission
from apps.core.tenancy import TenantQuerySet
from apps.teams.models import Team, Workspace


class UsageQuerySet(TenantQuerySet):
    read_permission = Permission.USAGE_READ
    workspace_path = "workspace_id"


METER_STATES = {
    "running": Q(ended_at=None),
    "ended": Q(ended_at__isnull=False),
    "short": Q(short_since__isnull=False),
    "parked": ~Q(parked_because=""),
}


class MeterQuerySet(UsageQuerySet):
    def running(self) -> "MeterQuerySet":
        return self.filter(ended_at=None)

    def due(self, now: datetime) -> "MeterQuerySet":
        """Running meters whose next cut is due and that nothing is wrong with."""
        return self.filter(next_cut_at__lte=now)

    def in_state(self, state: str) -> "MeterQuerySet":
        """Those that are `running`, `ended`, `short` of money or `parked`."""
        return self.filter(METER_STATES[state])


class Meter(models.Model):
    """A resource that is being charged for: at which rates, and up to when it has been (`metered_until`).

    A parked meter is not charged until a person has looked at `parked_because`. Where somebody watches the
    resource, it is charged up to `proven_until` and no further: the last proof that it ran.
    """

    resource_id = models.CharField(max_length=40, primary_key=True)
    resource_name = models.CharField(_("name"), max_length=120)
    kind = models.CharField(_("kind"), max_length=20)
    team = models.ForeignKey(Team, models.PROTECT, related_name="+")
    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+", db_index=False)
    region_id = IdField("reg", null=True)
    user_id = IdField("usr", null=True)  # who began it, and with which key: budgets may limit either
    key_id = IdField("key", null=True)
    currency = models.CharField(max_length=3)
    rates = models.JSONField()
    hourly = AmountField(verbose_name=_("per hour"))
    metered_until = models.DateTimeField()
    proven_until = models.DateTimeField(null=True)
    last_end = models.DateTimeField(null=True)
    next_cut_at = models.DateTimeField(null=True, db_index=True)
    short_since = models.DateTimeField(_("cannot be paid since"), null=True)
    unpaid_since = models.DateTimeField(null=True)  # of that, since when the balance is what lacks
    parked_because = models.CharField(max_length=300, blank=True)
    started_at = models.DateTimeField(_("since"))
    ended_at = models.DateTimeField(_("ended"), null=True)

    objects = MeterQuerySet.as_manager()

    class Meta:
        ordering = ("team", "resource_id")
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(ended_at=None) | Q(next_cut_at=None), name="billing_meter_ended_rests"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["short_since"], name="billing_meter_short", condition=~Q(short_since=None)),
        ]

    def __str__(self) -> str:
        return self.resource_id


class MeterChange(models.Model):
    """The second witness: what a resource was to be charged from a moment on, written when it changed.

    Empty rates mean that charging ended.
    """

    id = models.BigAutoField(primary_key=True)
    resource_id = models.CharField(max_length=40)
    seq = models.PositiveIntegerField()
    team = models.ForeignKey(Team, models.PROTECT, related_name="+")
    workspace_id = IdField("wks")
    rates = models.JSONField()
    at = models.DateTimeField()
    created_at = models.DateTimeField(db_default=Now())

    objects = UsageQuerySet.as_manager()

    class Meta:
        ordering = ("resource_id", "seq")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["resource_id", "seq"], name="billing_change_seq"),
        ]
        triggers: ClassVar = frozen()

    def __str__(self) -> str:
        return f"{self.resource_id} #{self.seq}"


class UsageInterval(models.Model):
    """A stretch of time at constant rates: a fact.

    `previous_end` repeats the end of the interval before: unique, and a foreign key to it (see the
    migration). So the intervals of a resource are one chain, and no second can be in two of them.
    """

    id = IdField("use", primary_key=True)
    resource_id = models.CharField(max_length=40)
    team = models.ForeignKey(Team, models.PROTECT, related_name="+", db_index=False)
    workspace_id = IdField("wks")
    region_id = IdField("reg", null=True)
    rates = models.JSONField()
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField()
    previous_end = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    objects = UsageQuerySet.as_manager()

    class Meta:
        ordering = ("resource_id", "started_at")
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(ended_at__gt=F("started_at")), name="billing_interval_span"),
            models.CheckConstraint(
                condition=Q(previous_end=None) | Q(started_at__gte=F("previous_end")),
                name="billing_interval_after_previous",
            ),
            models.UniqueConstraint(fields=["resource_id", "ended_at"], name="billing_interval_one_end"),
            models.UniqueConstraint(
                fields=["resource_id", "previous_end"], nulls_distinct=False, name="billing_interval_one_next"
            ),
        ]
        triggers: ClassVar = frozen()

    def __str__(self) -> str:
        return f"{self.resource_id} {self.started_at.isoformat()}"


class RatedUsage(models.Model):
    """What usage cost: one product at one price on one day (UTC), of an interval, an event or a batch.

    `amount` is `quantity` units × `unit_price`, for time-based products × `seconds` / 3600. `position` is
    how much of a product with a price curve the team had used before in the month, in unit-seconds
    (units × 3600): the amount is what the curve gains from there. `transaction_id` is the posting of it;
    it shares its id with an interval, while many events and token requests stand behind one. A line that
    takes back another, because its event was corrected, names it in `reverses`. Fees have no version.
    """

    id = models.BigAutoField(primary_key=True)
    interval = models.ForeignKey(
        UsageInterval, models.PROTECT, related_name="lines", db_index=False, null=True
    )
    event_id = IdField("uev", null=True)
    transaction_id = IdField("ltx", null=True)
    team = models.ForeignKey(Team, models.PROTECT, related_name="+", db_index=False)
    workspace_id = IdField("wks")
    resource_id = models.CharField(max_length=120, db_default="")
    product = models.CharField(max_length=80)
    unit = models.CharField(max_length=20, db_default="hour")
    version = models.ForeignKey(PriceVersion, models.PROTECT, related_name="+", db_index=False, null=True)
    reverses = models.BigIntegerField(null=True)
    started_at = models.DateTimeField()
    seconds = models.DecimalField(max_digits=18, decimal_places=6)
    quantity = AmountField()
    unit_price = PriceField()
    position = AmountField(null=True)
    amount = AmountField()

    objects = UsageQuerySet.as_manager()

    class Meta:
        ordering = ("id",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["interval", "product", "started_at"], name="billing_rated_once"),
            models.UniqueConstraint(fields=["event_id"], name="billing_rated_event_once"),
            models.UniqueConstraint(
                fields=["reverses"], condition=Q(reverses__isnull=False), name="billing_reversed_once"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["team", "started_at"], name="billing_rated_period"),
        ]
        triggers: ClassVar = frozen()

    def __str__(self) -> str:
        return f"{self.product} {self.amount}"


class UsageDay(models.Model):
    """Rated usage added up per resource, product and day (UTC): a cache, proved by `billing_verify`.

    Time-based products have `seconds` and `unit_seconds`, counted ones (tokens, events) a `quantity`.
    """

    id = models.BigAutoField(primary_key=True)
    team = models.ForeignKey(Team, models.PROTECT, related_name="+", db_index=False)
    workspace_id = IdField("wks")
    resource_id = models.CharField(max_length=120)
    product = models.CharField(max_length=80)
    day = models.DateField()
    seconds = models.DecimalField(max_digits=18, decimal_places=6)
    unit_seconds = AmountField()
    quantity = AmountField(db_default=ZERO)
    amount = AmountField()

    objects = UsageQuerySet.as_manager()

    class Meta:
        ordering = ("day", "product")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["team", "day", "workspace_id", "resource_id", "product"], name="billing_day_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.product} {self.amount}"
