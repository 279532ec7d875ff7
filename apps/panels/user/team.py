"""The team itself in the Console: its workspaces and its name."""

from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from apps.core.permissions import Permission
from apps.panels.kit import Action, Column, FormPage, Link, Resource, Section, cells
from apps.teams import services
from apps.teams.models import Workspace
from apps.teams.selectors import rows


class SettingsFields(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=80, help_text=_("The address of the team stays."))


class TeamSettings(FormPage):
    panel = "console"
    title = _("Team settings")
    permission = Permission.TEAM_UPDATE
    form_class = SettingsFields
    done = _("The team has a new name.")
    sections = (
        Section(_("Identity"), _("Members see it in the switcher, and it stands on invoices."), ("name",)),
    )

    @property
    def intro(self) -> Any:
        return _("Its id is %(id)s: tell it to teams that shall share a model with this one.") % {
            "id": self.team.pk
        }

    def initial(self) -> dict[str, Any]:
        return {"name": self.team.name}

    def save(self, data: dict[str, Any]) -> Any:
        services.rename_team(actor=self.actor, team=self.team, name=data["name"])
        return self.url("team-settings")


DELETE_WORKSPACE = Action(
    "delete",
    _("Delete"),
    Permission.WORKSPACE_MANAGE,
    lambda view, workspace: services.delete_workspace(actor=view.actor, workspace=workspace),
    icon="trash-2",
    confirm=_("Only an empty workspace can be deleted. Keys that are bound to it end."),
    danger=True,
    type_name=True,
    done=_("The workspace is gone."),
)


class WorkspaceList(Resource):
    panel = "console"
    title = _("Workspaces")
    intro = _("Machines, keys and limits belong to one; costs are shown for each.")
    permission = Permission.WORKSPACE_READ
    model = Workspace
    order = "created"
    search = ("name", "slug")
    search_hint = _("Search by name")
    actions = (DELETE_WORKSPACE,)
    links = (Link(_("Add a workspace"), "workspace-new", Permission.WORKSPACE_MANAGE),)
    columns = (
        Column("name", _("Name"), sort="name", main=True, to="workspace"),
        Column("slug", _("Address"), sort="slug", mono=True),
        Column(
            "created",
            _("Made"),
            lambda one: cells.when(one.created_at),
            sort="created_at",
            num=True,
            priority=2,
        ),
        Column(
            "limits",
            _("Limits"),
            lambda one: _("Set"),
            priority=2,
            text=lambda one: "",
            to="workspace-limits",
        ),
    )

    def rows(self) -> QuerySet[Any]:
        return rows.workspaces(self.actor, self.team).select_related("team")


class WorkspaceFields(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=60)


class WorkspaceNew(FormPage):
    panel = "console"
    title = _("Add a workspace")
    permission = Permission.WORKSPACE_MANAGE
    form_class = WorkspaceFields
    submit = _("Add the workspace")
    done = _("The workspace is there.")
    sections = (Section(_("Identity"), _("Its address is made from the name and stays."), ("name",)),)

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Workspaces")), self.url("workspaces"))]

    def save(self, data: dict[str, Any]) -> Any:
        services.create_workspace(actor=self.actor, team=self.team, name=data["name"])
        return self.url("workspaces")


class WorkspaceEdit(WorkspaceNew):
    title = _("Rename the workspace")
    submit = _("Rename")
    done = _("The workspace has a new name.")

    def initial(self) -> dict[str, Any]:
        return {"name": self._workspace().name}

    def save(self, data: dict[str, Any]) -> Any:
        services.rename_workspace(actor=self.actor, workspace=self._workspace(), name=data["name"])
        return self.url("workspaces")

    def _workspace(self) -> Workspace:
        return rows.workspace(self.actor, self.pk)
