"""Teams begin, are renamed, suspended, resumed and closed."""

import secrets

from django.db import transaction
from django.db.models.functions import Now
from django.utils.text import slugify

from apps.audit import services as audit
from apps.core import tenancy
from apps.core.actor import Actor
from apps.core.errors import Conflict, Invalid
from apps.core.ids import new_id
from apps.core.money import DEFAULT_CURRENCY
from apps.core.permissions import Permission, Role
from apps.teams import signals
from apps.teams.models import Membership, Team, Workspace
from apps.teams.services.invitations import accept_open_invitations
from apps.teams.states import TEAM, TeamState
from apps.users.models import User

# Teams one person may make for themselves; staff may make any number for others.
MOST_OWN_TEAMS = 5
FIRST_WORKSPACE = "default"
# Words that stand in addresses beside a team's slug.
RESERVED = frozenset(
    {"new", "account", "admin", "api", "cluster", "console", "invitations", "status", "help"}
)


@transaction.atomic
def create_team(
    *, actor: Actor, name: str, owner: User, slug: str = "", currency: str = DEFAULT_CURRENCY
) -> Team:
    """Make a team with its owner as admin and a workspace `default`.

    Everybody may make a few for themselves; for others it takes the permission.
    """
    _require_to_create(actor, owner)
    name = _valid_name(name)
    team = Team(id=new_id("team"), name=name, slug=_free_slug(slug or name), currency=currency)
    tenancy.include(team.pk)
    team.save(force_insert=True)
    Workspace.objects.create(team=team, name=FIRST_WORKSPACE, slug=FIRST_WORKSPACE)
    Membership.objects.create(team=team, user=owner, role=Role.TEAM_ADMIN)
    audit.record(actor=actor, action="team.created", target=team, owner=owner.email)
    signals.team_created.send(Team, team=team, actor=actor)
    return team


@transaction.atomic
def welcome_user(*, actor: Actor, user: User) -> None:
    """Give a person whose address was just confirmed a place: teams that wait for them, or their own."""
    if actor.user_id != user.pk:
        actor.require(Permission.USER_MANAGE)
    with tenancy.everything():
        if Membership.objects.filter(user=user).exists():
            return
        if not accept_open_invitations(actor=actor, user=user):
            create_team(actor=actor, name=_team_name(user), owner=user)


@transaction.atomic
def rename_team(*, actor: Actor, team: Team, name: str) -> Team:
    """Call a team differently; its address stays."""
    actor.require(Permission.TEAM_UPDATE, team.scope)
    team = _locked(team)
    before, team.name = team.name, _valid_name(name)
    team.save(update_fields=["name"])
    audit.record(actor=actor, action="team.renamed", target=team, before=before)
    signals.team_renamed.send(Team, team=team, actor=actor)
    return team


@transaction.atomic
def suspend_team(*, actor: Actor, team: Team, reason: str) -> Team:
    """Leave a team with nothing but reading and paying."""
    actor.require(Permission.TEAM_SUSPEND)
    team = _locked(team)
    team.state = TEAM.target("suspend", team.state)
    team.suspended_because = reason.strip()[:200]
    team.suspended_at = Now()
    team.save(update_fields=["state", "suspended_at", "suspended_because"])
    team.refresh_from_db()
    audit.record(actor=actor, action="team.suspended", target=team, reason=reason)
    signals.team_suspended.send(Team, team=team, actor=actor, reason=reason)
    return team


@transaction.atomic
def resume_team(*, actor: Actor, team: Team) -> Team:
    actor.require(Permission.TEAM_SUSPEND)
    team = _locked(team)
    team.state = TEAM.target("resume", team.state)
    team.suspended_at, team.suspended_because = None, ""
    team.save(update_fields=["state", "suspended_at", "suspended_because"])
    audit.record(actor=actor, action="team.resumed", target=team)
    signals.team_resumed.send(Team, team=team, actor=actor)
    return team


@transaction.atomic
def close_team(*, actor: Actor, team: Team) -> Team:
    """End a team for good; its books stay. Receivers refuse while it keeps anything that is charged for."""
    actor.require(Permission.TEAM_SUSPEND)
    team = _locked(team)
    team.state = TEAM.target("close", team.state)
    team.save(update_fields=["state"])
    audit.record(actor=actor, action="team.closed", target=team)
    signals.team_closed.send(Team, team=team, actor=actor)
    return team


def _require_to_create(actor: Actor, owner: User) -> None:
    if actor.kind != "user" or actor.user_id != owner.pk:
        actor.require(Permission.TEAM_CREATE)
        return
    # A double click must not make two: people make their teams one after the other.
    User.objects.select_for_update(of=("self",)).get(pk=owner.pk)
    own = Membership.objects.filter(user=owner, role=Role.TEAM_ADMIN).exclude(team__state=TeamState.CLOSED)
    if own.count() >= MOST_OWN_TEAMS:
        raise Conflict(f"One person may run {MOST_OWN_TEAMS} teams.", code="too_many_teams")


def _valid_name(name: str) -> str:
    name = " ".join(name.split())
    if not 1 <= len(name) <= 80 or not name.isprintable():
        raise Invalid("A team's name has 1 to 80 characters.", field="name")
    return name


def _free_slug(text: str) -> str:
    """An address nobody has; taken ones get a few random letters more."""
    wanted = slugify(text)[:32].strip("-") or "team"
    with tenancy.everything():
        is_taken = wanted in RESERVED or Team.objects.filter(slug=wanted).exists()
    return f"{wanted}-{secrets.token_hex(3)}" if is_taken else wanted


def _team_name(user: User) -> str:
    return user.name or user.email.partition("@")[0][:60] or "Team"


def _locked(team: Team) -> Team:
    found: Team = Team.objects.select_for_update(of=("self",)).get(pk=team.pk)
    return found
