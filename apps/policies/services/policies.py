"""The policies themselves: made, changed, removed while nobody is held to them."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.billing.services import terms
from apps.core.actor import Actor
from apps.core.errors import Conflict, Invalid
from apps.core.money import plain
from apps.core.permissions import Permission
from apps.operations import services as operations
from apps.policies.errors import PolicyInUse
from apps.policies.models import (
    Assignment,
    ChoicePolicy,
    Policy,
    PricingPolicy,
    ResourceLimit,
    ResourcePolicy,
)
from apps.policies.selectors import MODELS
from apps.policies.specs import METRICS, Limit, Limits
from apps.policies.states import Access, Level


@transaction.atomic
def create_policy(*, actor: Actor, kind: str, slug: str, name: str, description: str = "") -> Policy:
    """Make a policy that allows everything; narrow it next. Pricing policies follow the list price."""
    actor.require(Permission.POLICY_MANAGE)
    if kind not in MODELS:
        raise Invalid(_("There is no such kind of policy."), field="kind")
    policy = MODELS[kind](slug=_valid_slug(slug), name=_valid_name(name), description=description[:300])
    try:
        with transaction.atomic():
            policy.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict(
            _("There is a policy of that address already."), code="slug_taken", field="slug"
        ) from error
    _note(actor, policy, "policy.created")
    return policy


@transaction.atomic
def describe_policy(*, actor: Actor, policy: Policy, name: str, description: str) -> Policy:
    actor.require(Permission.POLICY_MANAGE)
    policy.name, policy.description = _valid_name(name), description.strip()[:300]
    policy.save(update_fields=["name", "description"])
    _note(actor, policy, "policy.described")
    return policy


@transaction.atomic
def set_limits(*, actor: Actor, policy: ResourcePolicy, limits: Iterable[Limit]) -> ResourcePolicy:
    """Replace all lines of a resource policy; a lower level may not allow more than a higher one."""
    actor.require(Permission.POLICY_MANAGE)
    lines = list(limits)
    check_limits(lines)
    ResourcePolicy.objects.select_for_update(of=("self",)).get(pk=policy.pk)
    policy.limits.all().delete()
    ResourceLimit.objects.bulk_create(
        ResourceLimit(
            policy=policy,
            level=one.level,
            target=one.target,
            metric=one.metric,
            access=one.access,
            maximum=one.maximum,
        )
        for one in lines
    )
    _note(actor, policy, "policy.limits_set", lines=len(lines))
    return policy


@transaction.atomic
def set_choice(*, actor: Actor, policy: ChoicePolicy, is_open: bool, slugs: Sequence[str]) -> ChoicePolicy:
    """Say what a service, instance type or image policy lets through."""
    actor.require(Permission.POLICY_MANAGE)
    policy.is_open, policy.slugs = is_open, sorted(set(slugs)) if not is_open else []
    policy.save(update_fields=["is_open", "slugs"])
    _note(actor, policy, "policy.choice_set", is_open=is_open, slugs=policy.slugs)
    return policy


@transaction.atomic
def set_pricing(
    *, actor: Actor, policy: PricingPolicy, price_list: str, base_fee: Decimal, included_amount: Decimal
) -> PricingPolicy:
    """Say by which list and fee the policy's teams pay; those that have it do so from a minute ahead."""
    actor.require(Permission.PRICE_MANAGE)
    locked: PricingPolicy = PricingPolicy.objects.select_for_update().get(pk=policy.pk)
    locked.price_list, locked.base_fee, locked.included_amount = price_list, base_fee, included_amount
    terms.check(locked.terms, currency=locked.currency)
    locked.save(update_fields=["price_list", "base_fee", "included_amount"])
    for assignment in Assignment.objects.filter(pricing=locked).select_related("team").order_by("team"):
        terms.adopt(actor=actor, team=assignment.team, terms=locked.terms)
    _note(actor, locked, "policy.pricing_set", price_list=price_list, base_fee=plain(base_fee))
    return locked


@transaction.atomic
def delete_policy(*, actor: Actor, policy: Policy) -> None:
    """Forget a policy that no team is held to and that no team will be given."""
    actor.require(Permission.POLICY_MANAGE)
    if policy.is_default:
        raise PolicyInUse(_("New teams get this policy."))
    _note(actor, policy, "policy.deleted")
    try:
        with transaction.atomic():
            policy.delete()
    except ProtectedError as error:
        raise PolicyInUse(_("Teams are held to this policy; give them another first.")) from error


def check_limits(lines: Sequence[Limit]) -> None:
    """Raise Invalid for a line that is malformed, doubled, or above what a higher level allows."""
    if len({(one.level, one.target, one.metric) for one in lines}) != len(lines):
        raise Invalid(_("A metric is limited once per place."), field="limits")
    table = Limits.of(lines)
    for one in lines:
        _check_line(one)
        above = [Level.GLOBAL] if one.level == Level.REGION else []
        above = [Level.GLOBAL, Level.REGION] if one.level == Level.GROUP else above
        for level in above:
            ceiling = table.ceiling(level, "", one.metric)
            if ceiling is not None and (one.ceiling is None or one.ceiling > ceiling):
                raise Invalid(
                    _("%(metric)s: a lower level may not allow more than a higher one.")
                    % {"metric": one.metric},
                    field="limits",
                )


def _check_line(one: Limit) -> None:
    known = one.metric in METRICS or (one.metric.startswith("gpu:") and 4 < len(one.metric) <= 60)
    known = known and len(one.target) <= 40
    if not known or one.level not in Level.values or one.access not in Access.values:
        raise Invalid(_("This line is not one a policy knows."), field="limits")
    if (one.access == Access.RESTRICTED) != (one.maximum is not None):
        raise Invalid(_("A restricted line names the most, others do not."), field="limits")
    if one.maximum is not None and not 0 <= one.maximum < 2**53:
        raise Invalid(_("The most is a number from 0."), field="limits")
    if one.level == Level.GLOBAL and one.target:
        raise Invalid(_("A global line names no place."), field="limits")


def _valid_slug(slug: str) -> str:
    slug = slug.strip().lower()
    if not 1 <= len(slug) <= 40 or not slug.replace("-", "").isalnum() or not slug.isascii():
        raise Invalid(_("Use 1 to 40 small letters, digits and dashes."), field="slug")
    return slug


def _valid_name(name: str) -> str:
    name = " ".join(name.split())
    if not 1 <= len(name) <= 80 or not name.isprintable():
        raise Invalid(_("A name has 1 to 80 characters."), field="name")
    return name


def _note(actor: Actor, policy: Policy, action: str, **data: Any) -> None:
    audit.record(actor=actor, action=action, target=policy, **data)
    operations.emit(type=action, subject=str(policy.pk), data={"name": policy.name})
