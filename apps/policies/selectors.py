"""Reads: what a team's policies allow, and how each of them answers a launch."""

import json
from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core import statements
from apps.core.actor import Actor, team_scope
from apps.core.errors import NotFound
from apps.core.ids import decode
from apps.core.permissions import Permission
from apps.policies.models import (
    Assignment,
    ImagePolicy,
    InstanceTypePolicy,
    Policy,
    PricingPolicy,
    QuotaUsage,
    ResourcePolicy,
    ServicePolicy,
)
from apps.policies.specs import (
    DISK,
    ENDPOINTS,
    INSTANCES,
    MEMORY,
    VCPUS,
    Choice,
    Demand,
    Gate,
    Limit,
    Limits,
    Rules,
    UsedLimit,
)
from apps.policies.states import Kind, Level

MODELS: dict[
    str,
    type[ResourcePolicy | PricingPolicy | ServicePolicy | InstanceTypePolicy | ImagePolicy],
] = {
    Kind.RESOURCE: ResourcePolicy,
    Kind.PRICING: PricingPolicy,
    Kind.SERVICE: ServicePolicy,
    Kind.INSTANCE_TYPE: InstanceTypePolicy,
    Kind.IMAGE: ImagePolicy,
}

_WORDS = {
    INSTANCES: gettext_lazy("instances"),
    VCPUS: gettext_lazy("vCPUs"),
    MEMORY: gettext_lazy("memory"),
    DISK: gettext_lazy("disk"),
    ENDPOINTS: gettext_lazy("endpoints"),
}
_SIZES = {MEMORY: ("MiB", "GiB", "TiB"), DISK: ("GiB", "TiB", "PiB")}  # in what they are counted and shown


# Both are read at every launch: plain statements, because making them anew costs more than asking them.
_LIMITS = """
SELECT level, target, metric, access, maximum FROM policies_resourcelimit
 WHERE policy_id = coalesce((SELECT resource_id FROM policies_assignment WHERE team_id = %s),
                            (SELECT id FROM policies_resourcepolicy WHERE is_default))
"""
_CHOICES = """
SELECT t.is_open, t.slugs, i.is_open, i.slugs
  FROM policies_assignment a
  JOIN policies_instancetypepolicy t ON t.id = a.instance_type_id
  JOIN policies_imagepolicy i ON i.id = a.image_id
 WHERE a.team_id = %s
"""


_RULES = """
SELECT t.is_open, t.slugs, i.is_open, i.slugs,
       array(SELECT jsonb_build_array(level, target, metric, access, maximum) FROM policies_resourcelimit
              WHERE policy_id = coalesce(a.resource_id,
                                         (SELECT id FROM policies_resourcepolicy WHERE is_default))),
       array(SELECT jsonb_build_array(level, target, metric, used) FROM policies_quotausage u
              WHERE u.team_id = team.id)
  FROM (SELECT %s::uuid AS id) team
  LEFT JOIN policies_assignment a ON a.team_id = team.id
  LEFT JOIN policies_instancetypepolicy t ON t.id = a.instance_type_id
  LEFT JOIN policies_imagepolicy i ON i.id = a.image_id
"""


def rules_of(team_id: str) -> Rules:
    """Choices, limits and what is used, in one statement."""
    type_open, types, image_open, images, limits, used = statements.fetch_one(
        _RULES, [decode("team", team_id)]
    )
    return Rules(
        types=Choice() if type_open is None else Choice(type_open, frozenset(types)),
        images=Choice() if image_open is None else Choice(image_open, frozenset(images)),
        limits=Limits.of(Limit(*json.loads(line)) for line in limits),
        used={(level, target, metric): amount for level, target, metric, amount in map(json.loads, used)},
    )


def limits_of(team_id: str) -> Limits:
    """The lines of the team's resource policy; a team without one is held to the default."""
    rows = statements.fetch_all(_LIMITS, [decode("team", team_id)])
    return Limits.of(Limit(*row) for row in rows)


def choices_of(team_id: str) -> tuple[Choice, Choice]:
    """Which instance types and which images the team may launch."""
    found = statements.fetch_one(_CHOICES, [decode("team", team_id)])
    if found is None:
        return Choice(), Choice()
    type_open, types, image_open, images = found
    return Choice(type_open, frozenset(types)), Choice(image_open, frozenset(images))


def used_by(team_id: str) -> dict[tuple[str, str, str], int]:
    """(level, target, metric) → amount in use."""
    rows = QuotaUsage.objects.filter(team_id=team_id).values_list("level", "target", "metric", "used")
    return {(level, target, metric): used for level, target, metric, used in rows}


def explain_gates(rules: Rules, *, demand: Demand, type_slug: str = "", image_slug: str = "") -> list[Gate]:
    """How each policy of the team answers: instance type, image, and every quota the demand touches."""
    gates = []
    if type_slug:
        gates.append(
            _choice_gate("type_policy", rules.types, type_slug, _("Your policy allows this instance type."))
        )
    if image_slug:
        gates.append(
            _choice_gate("image_policy", rules.images, image_slug, _("Your policy allows this image."))
        )
    return gates + quota_gates(limits=rules.limits, used=rules.used, demand=demand)


def quota_gates(*, limits: Limits, used: Mapping[tuple[str, str, str], int], demand: Demand) -> list[Gate]:
    """One gate per metric that the demand needs: the tightest of its levels. Touches nothing."""
    gates = []
    for metric, amount in demand.amounts().items():
        if amount <= 0:
            continue
        lefts = {
            level: ceiling - used.get((level, target, metric), 0)
            for level, target in demand.places()
            if (ceiling := limits.ceiling(level, target, metric)) is not None
        }
        gates.append(_quota_gate(metric, amount, lefts))
    return gates


def _quota_gate(metric: str, amount: int, lefts: dict[str, int]) -> Gate:
    code = f"quota.{metric}"
    if not lefts:
        return Gate(code, True, asked=str(amount), message=_("No limit."))
    level = min(lefts, key=lambda one: lefts[one])
    left = max(lefts[level], 0)
    words = {
        "left": amount_of(metric, left),
        "asked": amount_of(metric, amount),
        "what": metric_name(metric),
        "where": Level(level).label.lower(),
    }
    if amount <= left:
        message = _("%(left)s %(what)s left (%(where)s).") % words
    else:
        message = _("%(asked)s %(what)s asked, %(left)s left (%(where)s).") % words
    return Gate(code, amount <= left, asked=str(amount), left=str(left), message=message)


def _choice_gate(code: str, choice: Choice, slug: str, yes: str) -> Gate:
    allowed = choice.allows(slug)
    return Gate(code, allowed, asked=slug, message=yes if allowed else _("Your policy does not allow it."))


def metric_name(metric: str) -> str:
    """The metric in words: "vCPUs", "GPUs (h100-80gb)"."""
    if metric.startswith("gpu:"):
        model = metric.removeprefix("gpu:")
        return _("GPUs of one model") if model == "*" else _("GPUs (%(model)s)") % {"model": model}
    return str(_WORDS.get(metric, metric))


def amount_of(metric: str, amount: int) -> str:
    """So much of a metric, as people read it: "2,048", "16 TiB"."""
    value, units = float(amount), list(_SIZES.get(metric, ("",)))
    while value >= 1024 and len(units) > 1:
        value, units = value / 1024, units[1:]
    return f"{round(value, 1):,.15g} {units[0]}".strip()


def get_policy(*, kind: str, policy_id: str) -> Policy:
    """One policy of a kind; raises NotFound."""
    found: Policy | None = MODELS[kind].objects.filter(pk=policy_id).first() if kind in MODELS else None
    if found is None:
        raise NotFound(_("There is no such policy."))
    return found


def list_assignments(*, actor: Actor) -> QuerySet[Any]:
    """The policies of the teams whose policies the actor may see."""
    kinds = ("team", "resource", "pricing", "service", "instance_type", "image")
    return Assignment.objects.visible_to(actor).select_related(*kinds)


def find_assignment(*, actor: Actor, team_id: str) -> Assignment:
    """The five policies of a team; raises NotFound."""
    found: Assignment | None = list_assignments(actor=actor).filter(pk=team_id).first()
    if found is None:
        raise NotFound(_("There is no such team."))
    return found


def limits_for_team(*, actor: Actor, team_id: str) -> list[UsedLimit]:
    """What the team's resource policy says, line by line, and how much of it is used."""
    if not actor.can(Permission.POLICY_READ, team_scope(team_id)):
        raise NotFound(_("There is no such team."))
    used = used_by(team_id)
    return [
        UsedLimit(line, used.get((line.level, line.target, line.metric), 0))
        for line in limits_of(team_id).lines.values()
    ]
