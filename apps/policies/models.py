"""What a team may use, see and pay: five policies each, and how much of their quotas is used."""

from typing import Any, ClassVar

import pgtrigger
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.billing.specs import Terms
from apps.core.actor import PLATFORM, Actor
from apps.core.ids import IdField
from apps.core.money import DEFAULT_CURRENCY, AmountField
from apps.core.permissions import Permission
from apps.core.tenancy import TenantQuerySet
from apps.policies.specs import Choice, Limit
from apps.policies.states import Access, Level
from apps.teams.models import Team


class PolicyQuerySet(models.QuerySet[Any]):
    def visible_to(self, actor: Actor) -> "PolicyQuerySet":
        """The platform's staff sees all of them; a team learns of its own by `limits` and `choices`."""
        return self if actor.can(Permission.POLICY_READ, PLATFORM) else self.none()


class Policy(models.Model):
    """What the five kinds share. A default is what new teams get; there is one per kind."""

    name = models.CharField(_("name"), max_length=80)
    slug = models.SlugField(_("short name"), max_length=40, unique=True)
    description = models.CharField(_("description"), max_length=300, blank=True)
    is_default = models.BooleanField(_("for new teams"), default=False)
    created_at = models.DateTimeField(db_default=Now())

    objects = PolicyQuerySet.as_manager()

    class Meta:
        abstract = True
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


def _one_default(kind: str) -> models.UniqueConstraint:
    return models.UniqueConstraint(
        fields=["is_default"], condition=Q(is_default=True), name=f"policies_one_default_{kind}"
    )


class ResourcePolicy(Policy):
    """How much a team may use; see `ResourceLimit`. What no line names is unlimited."""

    id = IdField("rpo", primary_key=True)

    class Meta(Policy.Meta):
        constraints: ClassVar = [_one_default("resource")]


class ResourceLimit(models.Model):
    """One line of a resource policy."""

    policy = models.ForeignKey(ResourcePolicy, models.CASCADE, related_name="limits")
    level = models.CharField(_("level"), max_length=8, choices=Level.choices)
    target = models.CharField(_("where"), max_length=40, blank=True)
    metric = models.CharField(_("of what"), max_length=60)
    access = models.CharField(_("access"), max_length=12, choices=Access.choices)
    maximum = models.PositiveBigIntegerField(_("at most"), null=True, blank=True)

    class Meta:
        ordering = ("level", "target", "metric")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["policy", "level", "target", "metric"], name="policies_one_line_per_metric"
            ),
            models.CheckConstraint(
                name="policies_maximum_where_restricted",
                condition=Q(access=Access.RESTRICTED, maximum__isnull=False)
                | (~Q(access=Access.RESTRICTED) & Q(maximum=None)),
            ),
            models.CheckConstraint(condition=Q(level__in=Level.values), name="policies_level"),
            models.CheckConstraint(condition=Q(access__in=Access.values), name="policies_access"),
        ]

    def __str__(self) -> str:
        return f"{self.level}/{self.target} {self.metric}"

    @property
    def limit(self) -> Limit:
        return Limit(self.level, self.target, self.metric, self.access, self.maximum)


class PricingPolicy(Policy):
    """In what currency and by which price list a team pays; the lists themselves are billing's."""

    id = IdField("ppo", primary_key=True)
    currency = models.CharField(_("currency"), max_length=3, default=DEFAULT_CURRENCY)
    price_list = models.SlugField(_("price list"), max_length=40, default="standard")
    base_fee = AmountField(verbose_name=_("monthly base fee"), default=0)
    included_amount = AmountField(verbose_name=_("included per month"), default=0)

    class Meta(Policy.Meta):
        constraints: ClassVar = [
            _one_default("pricing"),
            models.CheckConstraint(
                condition=Q(base_fee__gte=0, included_amount__gte=0), name="policies_fees_not_negative"
            ),
        ]

    @property
    def terms(self) -> Terms:
        return Terms(self.name, self.price_list, self.base_fee, self.included_amount)


class ChoicePolicy(Policy):
    """Lets all through, or only those it names."""

    is_open = models.BooleanField(_("all of them"), default=True)
    slugs = ArrayField(
        models.SlugField(max_length=60), verbose_name=_("only these"), default=list, blank=True
    )

    class Meta(Policy.Meta):
        abstract = True

    @property
    def choice(self) -> Choice:
        return Choice(self.is_open, frozenset(self.slugs))


class ServicePolicy(ChoicePolicy):
    """Which services and scenarios a team sees."""

    id = IdField("spo", primary_key=True)

    class Meta(ChoicePolicy.Meta):
        abstract = False
        constraints: ClassVar = [_one_default("service")]


class InstanceTypePolicy(ChoicePolicy):
    """Which shapes a team may launch."""

    id = IdField("tpo", primary_key=True)

    class Meta(ChoicePolicy.Meta):
        abstract = False
        constraints: ClassVar = [_one_default("instance_type")]


class ImagePolicy(ChoicePolicy):
    """Which images a team may launch."""

    id = IdField("ipo", primary_key=True)

    class Meta(ChoicePolicy.Meta):
        abstract = False
        constraints: ClassVar = [_one_default("image")]


class AssignmentQuerySet(TenantQuerySet):
    read_permission = Permission.POLICY_READ


class Assignment(models.Model):
    """The five policies of a team: exactly one of each, replaceable, never removable."""

    team = models.OneToOneField(Team, models.PROTECT, primary_key=True, related_name="+")
    resource = models.ForeignKey(ResourcePolicy, models.PROTECT, related_name="assignments")
    pricing = models.ForeignKey(PricingPolicy, models.PROTECT, related_name="assignments")
    service = models.ForeignKey(ServicePolicy, models.PROTECT, related_name="assignments")
    instance_type = models.ForeignKey(InstanceTypePolicy, models.PROTECT, related_name="assignments")
    image = models.ForeignKey(ImagePolicy, models.PROTECT, related_name="assignments")
    changed_at = models.DateTimeField(db_default=Now())

    objects = AssignmentQuerySet.as_manager()

    class Meta:
        triggers: ClassVar = [pgtrigger.Protect(name="never_removed", operation=pgtrigger.Delete)]

    def __str__(self) -> str:
        return str(self.team_id)


class QuotaUsageQuerySet(TenantQuerySet):
    read_permission = Permission.POLICY_READ


class QuotaUsage(models.Model):
    """How much of a metric a team uses in one place; moved only by conditional statements.

    `ceiling` is what the policy allowed when the row last grew: it stands here so that one statement
    can both compare and count.
    """

    team = models.ForeignKey(Team, models.PROTECT, related_name="+")
    level = models.CharField(max_length=8, choices=Level.choices)
    target = models.CharField(max_length=40, blank=True)
    metric = models.CharField(max_length=60)
    used = models.BigIntegerField(default=0)
    ceiling = models.BigIntegerField(null=True)

    objects = QuotaUsageQuerySet.as_manager()

    class Meta:
        ordering = ("team_id", "level", "target", "metric")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["team", "level", "target", "metric"], name="policies_one_usage_per_metric"
            ),
            models.CheckConstraint(condition=Q(used__gte=0), name="policies_usage_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.metric} {self.used}"

    @property
    def left(self) -> int | None:
        return None if self.ceiling is None else max(self.ceiling - self.used, 0)
