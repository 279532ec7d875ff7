"""Which policies a team is held to."""

from collections.abc import Mapping

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.billing.services import terms
from apps.core.actor import Actor
from apps.core.errors import Conflict, NotFound
from apps.core.permissions import Permission
from apps.operations import services as operations
from apps.policies.models import Assignment, Policy, PricingPolicy, ResourceLimit, ResourcePolicy
from apps.policies.selectors import MODELS
from apps.policies.specs import STANDARD
from apps.policies.states import Access, Level
from apps.teams.models import Team


@transaction.atomic
def assign_defaults(*, team: Team) -> Assignment:
    """Give a new team the five default policies."""
    return Assignment.objects.create(team=team, **{kind: default_policy(kind=kind) for kind in MODELS})


@transaction.atomic
def default_policy(*, kind: str) -> Policy:
    """What new teams get of a kind. Migrations make it; it is made again should somebody have lost it."""
    found: Policy | None = MODELS[kind].objects.filter(is_default=True).first()
    if found is not None:
        return found
    policy, is_new = MODELS[kind].objects.get_or_create(slug="standard", defaults={"name": "Standard"})
    policy.is_default = True
    policy.save(update_fields=["is_default"])
    if is_new and isinstance(policy, ResourcePolicy):
        ResourceLimit.objects.bulk_create(
            ResourceLimit(
                policy=policy, level=Level.GLOBAL, metric=metric, access=Access.RESTRICTED, maximum=maximum
            )
            for metric, maximum in STANDARD.items()
        )
    return policy


@transaction.atomic
def assign_policy(*, actor: Actor, team: Team, kind: str, policy_id: str) -> Assignment:
    """Put another policy in the place of the team's; what it uses already stays.

    With a pricing policy come its price list and monthly fee, so it takes the right to set prices.
    """
    actor.require(Permission.POLICY_MANAGE)
    policy = MODELS[kind].objects.filter(pk=policy_id).first() if kind in MODELS else None
    if policy is None:
        raise NotFound(_("There is no such policy."))
    assignment: Assignment = Assignment.objects.select_for_update(of=("self",)).get(team=team)
    before = getattr(assignment, kind)
    if isinstance(policy, PricingPolicy) and policy.currency != team.currency:
        raise Conflict(
            _("The team pays in %(currency)s; that cannot change.") % {"currency": team.currency},
            code="currency_locked",
        )
    if isinstance(policy, PricingPolicy):
        terms.adopt(actor=actor, team=team, terms=policy.terms)
    setattr(assignment, kind, policy)
    assignment.changed_at = Now()
    assignment.save(update_fields=[kind, "changed_at"])
    audit.record(
        actor=actor,
        action="policy.assigned",
        target=team,
        team_id=team.pk,
        kind=kind,
        before=before.slug,
        after=policy.slug,
    )
    operations.emit(
        type="policy.assigned", subject=team.pk, team_id=team.pk, data={"kind": kind, "policy": policy.slug}
    )
    assignment.refresh_from_db()
    return assignment


@transaction.atomic
def assign_policies(*, actor: Actor, team: Team, policies: Mapping[str, str]) -> None:
    """Put other policies (kind → id) in the place of the team's; those it has already are left."""
    actor.require(Permission.POLICY_MANAGE)
    assignment = Assignment.objects.get(team=team)
    for kind, policy_id in policies.items():
        if str(getattr(assignment, f"{kind}_id")) != str(policy_id):
            assign_policy(actor=actor, team=team, kind=kind, policy_id=policy_id)
