"""One team, workspace, member, invitation or key: what the actor may see, or NotFound."""

from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet

from apps.core import statements
from apps.core.actor import Actor, Scope
from apps.core.clock import db_now
from apps.core.errors import Invalid, NotFound
from apps.core.ids import decode
from apps.core.permissions import GRANTS, TEAM_ROLES, Permission, Role
from apps.core.tenancy import TenantQuerySet
from apps.teams.errors import ScopeExceeded
from apps.teams.models import ApiKey, Invitation, Membership, Team, Workspace

_NAMED = """
t.team_id = %(team)s AND (%(slug)s::text IS NULL OR t.slug = %(slug)s)
AND (%(only)s::uuid IS NULL OR t.id = %(only)s) ORDER BY t.created_at LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the Console one is."""

    team: Team
    workspace: Workspace


def teams(actor: Actor) -> QuerySet[Team]:
    return Team.objects.visible_to(actor)


def team(actor: Actor, team_id: str) -> Team:
    found: Team = _one(Team.objects.visible_to(actor), "There is no such team.", pk=team_id)
    return found


def team_of(scope: Scope) -> Team:
    """The team whose scope it is; whoever has the scope may know of the team."""
    found = statements.select(Team, "t.id = %s", [decode("team", scope.id)])
    if found is None:
        raise NotFound("There is no such team.")
    return found


def own_teams(actor: Actor) -> QuerySet[Team]:
    """The teams the actor is in, for the switcher; platform staff see their own only."""
    return Team.objects.filter(pk__in=sorted(actor.ids("team"))).order_by("name")


def place(actor: Actor, team_slug: str, workspace_slug: str) -> Place:
    """The workspace that an address names; one statement."""
    rows = Workspace.objects.visible_to(actor).select_related("team")
    found: Workspace = _one(rows, "There is no such workspace.", slug=workspace_slug, team__slug=team_slug)
    return Place(found.team, found)


def workspaces(actor: Actor, team: Team) -> QuerySet[Workspace]:
    rows: QuerySet[Workspace] = Workspace.objects.visible_to(actor).filter(team=team)
    return rows


def workspace(actor: Actor, workspace_id: str) -> Workspace:
    rows = Workspace.objects.visible_to(actor).select_related("team")
    found: Workspace = _one(rows, "There is no such workspace.", pk=workspace_id)
    return found


def workspace_named(
    actor: Actor, team: Team, slug: str | None, permission: Permission | None = None
) -> Workspace | None:
    """The team's workspace of that address in which the actor holds the permission (by default: to see it);
    without an address the first one. Asked at every launch."""
    if not actor.can(permission or Permission.WORKSPACE_READ, team.scope):
        return None
    only = decode("wks", actor.workspace_id) if actor.workspace_id else None
    values = {"team": decode("team", team.pk), "slug": slug, "only": only}
    found = statements.select(Workspace, _NAMED, values)
    if found is not None:
        found.team = team
    return found


def members(actor: Actor, team: Team) -> QuerySet[Membership]:
    rows: QuerySet[Membership] = (
        Membership.objects.visible_to(actor).filter(team=team).select_related("user", "team")
    )
    return rows


def own_memberships(actor: Actor) -> QuerySet[Membership]:
    """The actor's place in each of their teams."""
    found = Membership.objects.filter(user_id=actor.user_id or None).select_related("team")
    return found.order_by("team__name")


def member(actor: Actor, member_id: str) -> Membership:
    rows = Membership.objects.visible_to(actor).select_related("user", "team")
    found: Membership = _one(rows, "There is no such member.", pk=member_id)
    return found


def addresses_of(team_id: str, *roles: Role) -> list[str]:
    """Where mail goes to whoever has one of the roles in the team; nowhere when they have all left."""
    people = Membership.objects.filter(team_id=team_id, role__in=roles, user__is_active=True)
    return sorted(people.values_list("user__email", flat=True))


def open_invitations(actor: Actor, team: Team) -> QuerySet[Invitation]:
    rows: QuerySet[Invitation] = (
        Invitation.objects.visible_to(actor).filter(team=team).pending(db_now()).select_related("team")
    )
    return rows


def invitation(actor: Actor, invitation_id: str) -> Invitation:
    rows = Invitation.objects.visible_to(actor).select_related("team")
    found: Invitation = _one(rows, "There is no such invitation.", pk=invitation_id)
    return found


def api_keys(actor: Actor, team: Team) -> QuerySet[ApiKey]:
    """The team's keys, the revoked ones included; a secret is in none of them."""
    rows: QuerySet[ApiKey] = (
        ApiKey.objects.visible_to(actor).filter(team=team).select_related("user", "workspace", "team")
    )
    return rows


def staff_keys(actor: Actor) -> QuerySet[ApiKey]:
    """The actor's own keys for the Admin and Cluster APIs."""
    return ApiKey.objects.filter(team=None, user_id=actor.user_id or None).select_related("user")


def api_key(actor: Actor, key_id: str) -> ApiKey:
    rows = ApiKey.objects.visible_to(actor) | ApiKey.objects.filter(team=None, user_id=actor.user_id or None)
    found: ApiKey = _one(
        rows.select_related("user", "workspace", "team"), "There is no such API key.", pk=key_id
    )
    return found


def grantable(actor: Actor, team: Team | None) -> frozenset[Permission]:
    """What a key made by the actor may be allowed: their own permissions in the team, or as staff."""
    if team is not None:
        return actor.grants.get(team.scope, frozenset())
    staff = [held for scope, held in actor.grants.items() if scope.kind != "team"]
    return frozenset().union(*staff)


def role_to_give(actor: Actor, team: Team, role: str) -> Role:
    """The role, if it is one in a team: nobody gives more than they hold there, a narrow key least of all."""
    if role not in TEAM_ROLES:
        raise Invalid("This is not a role in a team.", field="role")
    beyond = sorted(one for one in GRANTS[Role(role)] if not actor.can(one, team.scope))
    if beyond:
        raise ScopeExceeded(
            f"This role may {', '.join(beyond)}, which you may not.", field="role", beyond=beyond
        )
    return Role(role)


def _one(rows: "TenantQuerySet | QuerySet[Any]", refusal: str, **where: object) -> Any:
    try:
        found = rows.filter(**where).first()
    except ValidationError:
        found = None
    if found is None:
        raise NotFound(refusal)
    return found
