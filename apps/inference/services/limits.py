"""Limits are set: by staff for the platform, the levels and teams, by a team for its workspaces and keys."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.core.actor import Actor
from apps.core.errors import Invalid
from apps.core.permissions import Permission
from apps.inference.models.limits import RateLimit
from apps.inference.selectors.limits import effective
from apps.inference.specs import Limits
from apps.inference.states import LimitLevel
from apps.operations.services.outbox import emit
from apps.teams.models import ApiKey, Team, Workspace
from apps.teams.services import IssuedKey, create_api_key
from apps.teams.specs import KeyWish

MOST_PER_MINUTE = 100_000_000
MOST_PER_DAY = 10**15


@transaction.atomic
def set_level(*, actor: Actor, level: str, limits: Limits) -> RateLimit:
    """What holds for the platform, or for every team, workspace or key without numbers of its own."""
    actor.require(Permission.LIMIT_MANAGE)
    return _write(actor, LimitLevel(level), "", None, limits)


@transaction.atomic
def set_levels(*, actor: Actor, wanted: Mapping[LimitLevel, Limits]) -> None:
    """What holds on several levels; those that are so already are left alone."""
    actor.require(Permission.LIMIT_MANAGE)
    known = effective()
    for level, limits in wanted.items():
        if known.at(level, "") != limits:
            set_level(actor=actor, level=level, limits=limits)


@transaction.atomic
def set_team(*, actor: Actor, team: Team, limits: Limits) -> RateLimit:
    """What a team may, all its keys together; the platform decides that."""
    actor.require(Permission.LIMIT_MANAGE)
    return _write(actor, LimitLevel.TEAM, team.pk, team, limits)


@transaction.atomic
def set_workspace(*, actor: Actor, workspace: Workspace, limits: Limits) -> RateLimit:
    """What a workspace may, within what its team may."""
    actor.require(Permission.LIMIT_MANAGE, workspace.team.scope)
    return _write(actor, LimitLevel.WORKSPACE, workspace.pk, workspace.team, limits)


@transaction.atomic
def set_key(*, actor: Actor, key: ApiKey, limits: Limits) -> RateLimit:
    """What a key may, within what its workspace may; by its owner or who manages limits in the team."""
    if key.team is None:
        raise Invalid(_("A key without a team asks for no tokens."), field="key")
    if key.user_id == actor.user_id:
        actor.require(Permission.API_KEY_MANAGE, key.team.scope)
    else:
        actor.require(Permission.LIMIT_MANAGE, key.team.scope)
    return _write(actor, LimitLevel.KEY, key.pk, key.team, limits)


@transaction.atomic
def create_key(
    *, actor: Actor, team: Team | None, wish: KeyWish, limits: Limits, workspace: Workspace | None = None
) -> IssuedKey:
    """A key, with limits of its own from the start when it belongs to a team."""
    issued = create_api_key(actor=actor, team=team, wish=wish, workspace=workspace)
    if limits != Limits():
        set_key(actor=actor, key=issued.key, limits=limits)
    return issued


def _write(actor: Actor, level: LimitLevel, subject_id: str, team: Team | None, limits: Limits) -> RateLimit:
    for field, value, most in (
        ("requests_per_minute", limits.requests_per_minute, MOST_PER_MINUTE),
        ("tokens_per_day", limits.tokens_per_day, MOST_PER_DAY),
    ):
        if value is not None and not 0 <= value <= most:
            raise Invalid(_("Give a number from 0 to %(most)s.") % {"most": most}, field=field)
    row, _made = RateLimit.objects.update_or_create(
        level=level,
        subject_id=subject_id,
        defaults={
            "team": team,
            "requests_per_minute": limits.requests_per_minute,
            "tokens_per_day": limits.tokens_per_day,
            "updated_by_label": actor.label,
            "updated_at": Now(),
        },
    )
    row.refresh_from_db()
    numbers = {"requests_per_minute": limits.requests_per_minute, "tokens_per_day": limits.tokens_per_day}
    about: dict[str, Any] = {"level": str(level), "subject": subject_id, **numbers}
    audit.record(actor=actor, action="limit.set", target=row, **about)
    emit(
        type="limit.set",
        subject=subject_id or str(level),
        team_id=team.pk if team else None,
        data={"level": str(level), **numbers},
    )
    return row
