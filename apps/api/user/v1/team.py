"""The team: itself, its members, invitations and workspaces."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, PersonViewSet, TeamViewSet
from apps.api.fields import In, Out, RowOut
from apps.api.people import AuditActions, MemberOut, TeamOut
from apps.core.permissions import TEAM_ROLES, Permission, Role
from apps.teams import services
from apps.teams.models import Invitation, Workspace
from apps.teams.selectors import rows
from apps.users.selectors import person

P = Permission
ROLES = [role.value for role in TEAM_ROLES]


class TeamIn(In):
    name = serializers.CharField(max_length=80)


class MyTeamsViewSet(PersonViewSet):
    """The teams one is in."""

    calls = {
        "list": Call(None, TeamOut, summary="List one's teams"),
        "create": Call(None, TeamOut, TeamIn, 201, summary="Make a team of one's own"),
    }

    def list(self, request: Request) -> Response:
        """The address of each goes into `?team=` where a person is in several."""
        return self.page(rows.own_teams(self.actor))

    def create(self, request: Request) -> Response:
        """The caller becomes its admin; a workspace `default` comes with it. Keys cannot do this."""
        owner = person(self.actor, str(self.actor.user_id))
        return self.answer(services.create_team(actor=self.actor, owner=owner, **self.body()))


class OneTeamViewSet(TeamViewSet):
    """The team itself."""

    calls = {
        "retrieve": Call(P.TEAM_READ, TeamOut, summary="Look at the team"),
        "partial_update": Call(P.TEAM_UPDATE, TeamOut, TeamIn, summary="Rename the team"),
    }

    def retrieve(self, request: Request) -> Response:
        return self.answer(self.team)

    def partial_update(self, request: Request) -> Response:
        """Its address stays."""
        body = self.body()
        team = self.unchanged(self.team)
        return self.answer(services.rename_team(actor=self.actor, team=team, name=body["name"]))


class RoleIn(In):
    role = serializers.ChoiceField(choices=ROLES)


class MemberViewSet(TeamViewSet):
    """Who is in the team, and as what."""

    id_prefix = "mem"
    calls = {
        "list": Call(P.MEMBER_READ, MemberOut, summary="List members"),
        "retrieve": Call(P.MEMBER_READ, MemberOut, summary="Look at a member"),
        "partial_update": Call(P.MEMBER_MANAGE, MemberOut, RoleIn, summary="Change a member's role"),
        "destroy": Call(P.MEMBER_MANAGE, status=204, summary="Remove a member"),
    }

    def list(self, request: Request) -> Response:
        return self.page(rows.members(self.actor, self.team))

    def retrieve(self, request: Request, id: str) -> Response:
        return self.answer(rows.member(self.actor, self.id_of("mem", id)))

    def partial_update(self, request: Request, id: str) -> Response:
        """The last admin keeps the role (409 `last_admin`)."""
        role = Role(self.body()["role"])
        member = self.unchanged(rows.member(self.actor, self.id_of("mem", id)))
        return self.answer(services.change_role(actor=self.actor, member=member, role=role))

    def destroy(self, request: Request, id: str) -> Response:
        """Access and the keys they made for the team end at once."""
        services.remove_member(actor=self.actor, member=rows.member(self.actor, self.id_of("mem", id)))
        return self.answer()


class InvitationIn(In):
    email = serializers.EmailField()
    role = serializers.ChoiceField(choices=ROLES)


class InvitationOut(RowOut):
    class Meta:
        model = Invitation
        fields = ("id", "email", "role", "created_at", "expires_at", "accepted_at", "revoked_at")


class InvitedOut(Out):
    """A new invitation. `url` is the link that was mailed; it is told here and never again."""

    invitation = InvitationOut(read_only=True)
    url = serializers.CharField()

    def to_representation(self, invited: Any) -> Any:
        return {"invitation": InvitationOut(invited.invitation).data, "url": invited.url}


class InvitationViewSet(TeamViewSet):
    """Open invitations. Only who owns the address can accept, once, within a week."""

    id_prefix = "ivt"
    calls = {
        "list": Call(P.MEMBER_READ, InvitationOut, summary="List open invitations"),
        "create": Call(P.MEMBER_MANAGE, InvitedOut, InvitationIn, 201, summary="Invite somebody"),
        "destroy": Call(P.MEMBER_MANAGE, status=204, summary="Withdraw an invitation"),
    }

    def _wrap(self, request: Request) -> None:
        """An answer with a link in it is not kept; a repeat replaces the invitation."""
        if request.method != "POST":
            super()._wrap(request)

    def list(self, request: Request) -> Response:
        return self.page(rows.open_invitations(self.actor, self.team))

    def create(self, request: Request) -> Response:
        """The link is mailed. Inviting the same address again replaces the invitation."""
        body = self.body()
        invited = services.invite_member(
            actor=self.actor, team=self.team, email=body["email"], role=Role(body["role"])
        )
        return self.answer(invited)

    def destroy(self, request: Request, id: str) -> Response:
        invitation = rows.invitation(self.actor, self.id_of("ivt", id))
        services.revoke_invitation(actor=self.actor, invitation=invitation)
        return self.answer()


class WorkspaceIn(In):
    name = serializers.CharField(max_length=60)


class WorkspaceOut(RowOut):
    class Meta:
        model = Workspace
        fields = ("id", "name", "slug", "created_at")


class WorkspaceViewSet(TeamViewSet):
    """The environments that the team divides into."""

    id_prefix = "wks"
    calls = {
        "list": Call(P.WORKSPACE_READ, WorkspaceOut, summary="List workspaces"),
        "create": Call(P.WORKSPACE_MANAGE, WorkspaceOut, WorkspaceIn, 201, summary="Add a workspace"),
        "retrieve": Call(P.WORKSPACE_READ, WorkspaceOut, summary="Look at a workspace"),
        "partial_update": Call(P.WORKSPACE_MANAGE, WorkspaceOut, WorkspaceIn, summary="Rename a workspace"),
        "destroy": Call(P.WORKSPACE_MANAGE, status=204, summary="Delete an empty workspace"),
    }

    def list(self, request: Request) -> Response:
        return self.page(rows.workspaces(self.actor, self.team))

    def create(self, request: Request) -> Response:
        """Its address is made from the name and stays."""
        made = services.create_workspace(actor=self.actor, team=self.team, name=self.body()["name"])
        return self.answer(made)

    def retrieve(self, request: Request, id: str) -> Response:
        return self.answer(rows.workspace(self.actor, self.id_of("wks", id)))

    def partial_update(self, request: Request, id: str) -> Response:
        body = self.body()
        workspace = self.unchanged(rows.workspace(self.actor, self.id_of("wks", id)))
        return self.answer(
            services.rename_workspace(actor=self.actor, workspace=workspace, name=body["name"])
        )

    def destroy(self, request: Request, id: str) -> Response:
        """Only when nothing is in it; the last one stays."""
        workspace = rows.workspace(self.actor, self.id_of("wks", id))
        services.delete_workspace(actor=self.actor, workspace=workspace)
        return self.answer()


class AuditViewSet(AuditActions, TeamViewSet):
    __doc__ = AuditActions.__doc__
