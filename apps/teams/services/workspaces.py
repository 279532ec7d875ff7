"""Workspaces: the environments that a team divides into."""

from django.db import transaction
from django.db.models import ProtectedError, RestrictedError
from django.utils.text import slugify

from apps.audit import services as audit
from apps.core.actor import Actor
from apps.core.errors import Conflict, Invalid, NotFound
from apps.core.permissions import Permission
from apps.teams import signals
from apps.teams.models import Team, Workspace

MOST_WORKSPACES = 50


@transaction.atomic
def create_workspace(*, actor: Actor, team: Team, name: str) -> Workspace:
    actor.require(Permission.WORKSPACE_MANAGE, team.scope)
    Team.objects.select_for_update(of=("self",)).get(pk=team.pk)
    name = _valid_name(name)
    slug = slugify(name)[:40].strip("-")
    if not slug:
        raise Invalid("A workspace's name needs a letter or a digit.", field="name")
    if team.workspaces.filter(slug=slug).exists():
        raise Conflict("The team has a workspace of this name.", code="name_taken", field="name")
    if team.workspaces.count() >= MOST_WORKSPACES:
        raise Conflict(f"A team has at most {MOST_WORKSPACES} workspaces.", code="too_many_workspaces")
    workspace = Workspace.objects.create(team=team, name=name, slug=slug)
    audit.record(actor=actor, action="workspace.created", target=workspace)
    signals.workspace_created.send(Workspace, workspace=workspace, actor=actor)
    return workspace


@transaction.atomic
def rename_workspace(*, actor: Actor, workspace: Workspace, name: str) -> Workspace:
    """Call a workspace differently; its address stays."""
    actor.require(Permission.WORKSPACE_MANAGE, workspace.team.scope)
    workspace = _locked(workspace)
    before, workspace.name = workspace.name, _valid_name(name)
    workspace.save(update_fields=["name"])
    audit.record(actor=actor, action="workspace.renamed", target=workspace, before=before)
    return workspace


@transaction.atomic
def delete_workspace(*, actor: Actor, workspace: Workspace) -> None:
    """Remove an empty workspace; a team keeps one."""
    actor.require(Permission.WORKSPACE_MANAGE, workspace.team.scope)
    Team.objects.select_for_update(of=("self",)).get(pk=workspace.team_id)
    workspace = _locked(workspace)
    if workspace.team.workspaces.count() < 2:
        raise Conflict("A team keeps at least one workspace.", code="last_workspace")
    audit.record(actor=actor, action="workspace.deleted", target=workspace)
    signals.workspace_deleted.send(Workspace, workspace=workspace, actor=actor)
    try:
        with transaction.atomic():
            workspace.delete()
    except (ProtectedError, RestrictedError) as error:
        raise Conflict("There is still something in this workspace.", code="workspace_in_use") from error


def _locked(workspace: Workspace) -> Workspace:
    rows = Workspace.objects.select_related("team").select_for_update(of=("self",))
    found: Workspace | None = rows.filter(pk=workspace.pk).first()
    if found is None:
        raise NotFound("There is no such workspace.")
    return found


def _valid_name(name: str) -> str:
    name = " ".join(name.split())
    if not 1 <= len(name) <= 60 or not name.isprintable():
        raise Invalid("A workspace's name has 1 to 60 characters.", field="name")
    return name
