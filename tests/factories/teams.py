"""Teams with an admin, a workspace and whatever other apps give a new team, made through services."""

from typing import Any

import factory

from apps.core.actor import SYSTEM, Actor
from apps.core.permissions import GRANTS, Role
from apps.teams.models import Team, Workspace
from apps.teams.services import IssuedKey, add_member, create_api_key, create_team
from apps.teams.specs import KeyWish
from apps.users.models import User
from tests.factories.users import UserFactory


class TeamFactory(factory.Factory):
    """A team; `owner=` names its admin (made when absent)."""

    class Meta:
        model = Team

    name = factory.Sequence(lambda n: f"Team {n}")
    owner = factory.SubFactory(UserFactory)

    @classmethod
    def _create(cls, model_class: type[Team], *_args: Any, **fields: Any) -> Team:
        return create_team(actor=SYSTEM, **fields)


def workspace_of(team: Team) -> Workspace:
    """The workspace that every new team has."""
    return team.workspaces.get(slug="default")


def admin_of(team: Team) -> User:
    return team.memberships.select_related("user").filter(role=Role.TEAM_ADMIN).earliest("created_at").user


def member_of(team: Team, role: Role = Role.TEAM_MEMBER, **fields: Any) -> User:
    """A new person in the team."""
    user: User = UserFactory(**fields)
    add_member(actor=SYSTEM, team=team, user=user, role=role)
    return user


def actor_of(team: Team, user: User | None = None) -> Actor:
    """The actor that a member (by default the admin) is, without touching the connection's scope."""
    user = user or admin_of(team)
    role = Role(team.memberships.get(user=user).role)
    return Actor(user.label, {team.scope: GRANTS[role]}, kind="user", user_id=user.pk)


def key_of(team: Team, *scopes: str, user: User | None = None, **wish: Any) -> IssuedKey:
    """A key with these scopes, or with all its maker (by default the admin) holds."""
    actor = actor_of(team, user)
    held = frozenset(scopes) or frozenset(str(one) for one in actor.grants[team.scope])
    workspace = wish.pop("workspace", None)
    wanted = KeyWish(**{"name": "test", "scopes": held, **wish})
    return create_api_key(actor=actor, team=team, wish=wanted, workspace=workspace)
