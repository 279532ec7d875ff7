"""People join teams, change roles, and leave; an admin always remains."""

from collections.abc import Iterator
from contextlib import contextmanager

import pgtrigger
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from apps.audit import services as audit
from apps.core.actor import Actor
from apps.core.errors import Conflict, NotFound
from apps.core.permissions import Permission, Role
from apps.teams import signals
from apps.teams.errors import LastAdmin
from apps.teams.models import ApiKey, Membership, Team
from apps.teams.selectors.rows import role_to_give
from apps.users.models import User


@transaction.atomic
def add_member(*, actor: Actor, team: Team, user: User, role: Role) -> Membership:
    """Put a person into a team without asking them; for staff and the demonstration data."""
    actor.require(Permission.USER_MANAGE)
    if Membership.objects.filter(team=team, user=user).exists():
        raise Conflict("This person is in the team already.", code="already_member")
    member = Membership.objects.create(team=team, user=user, role=role_to_give(actor, team, role))
    audit.record(actor=actor, action="member.added", target=team, user=user.email, role=role)
    signals.membership_changed.send(Membership, team=team, user=user, role=role, actor=actor)
    return member


@transaction.atomic
def change_role(*, actor: Actor, member: Membership, role: Role) -> Membership:
    actor.require(Permission.MEMBER_MANAGE, member.team.scope)
    member = _locked(member)
    before, member.role = member.role, role_to_give(actor, member.team, role)
    with keeping_an_admin():
        member.save(update_fields=["role"])
    audit.record(
        actor=actor, action="member.role_changed", target=member.team,
        user=member.user.email, before=before, role=role,
    )  # fmt: skip
    signals.membership_changed.send(Membership, team=member.team, user=member.user, role=role, actor=actor)
    return member


@transaction.atomic
def remove_member(*, actor: Actor, member: Membership) -> None:
    """Put a person out of a team; the keys they made for it end with that."""
    actor.require(Permission.MEMBER_MANAGE, member.team.scope)
    _remove(actor, member, "member.removed")


@transaction.atomic
def leave_team(*, actor: Actor, team: Team) -> None:
    """Go by oneself, unless one is the last admin."""
    actor.require(Permission.TEAM_READ, team.scope)
    member = Membership.objects.filter(team=team, user_id=actor.user_id).first()
    if member is None or actor.kind != "user":
        raise NotFound("You are not in this team.")
    _remove(actor, member, "member.left")


def _remove(actor: Actor, member: Membership, action: str) -> None:
    member = _locked(member)
    team, user = member.team, member.user
    ApiKey.objects.filter(team=team, user=user, revoked_at=None).update(revoked_at=Now())
    with keeping_an_admin():
        member.delete()
    audit.record(actor=actor, action=action, target=team, user=user.email)
    signals.membership_changed.send(Membership, team=team, user=user, role=None, actor=actor)


def _locked(member: Membership) -> Membership:
    rows = Membership.objects.select_related("team", "user").select_for_update(of=("self",))
    found: Membership | None = rows.filter(pk=member.pk).first()
    if found is None:
        raise NotFound("This person is not in the team.")
    return found


@contextmanager
def keeping_an_admin() -> Iterator[None]:
    """Ask the database at once whether an admin remains, and say its refusal in our words."""
    pgtrigger.constraints(pgtrigger.Immediate, "teams.Membership:last_team_admin")
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        raise LastAdmin("This is the last admin of the team; make somebody else admin first.") from error
