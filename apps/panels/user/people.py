"""Who is in the team, who is asked to join, and what they did."""

from typing import Any

from django import forms
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpResponseBase
from django.utils.translation import gettext_lazy as _

from apps.core.permissions import Permission, Role
from apps.panels.audit import AuditList
from apps.panels.kit import (
    Action,
    Column,
    Copies,
    Empty,
    FormPage,
    Link,
    Note,
    Resource,
    SavedView,
    Section,
    cells,
    moment,
)
from apps.panels.roles import TEAM_CHOICES, role_of
from apps.teams import services
from apps.teams.models import Invitation, Membership
from apps.teams.selectors import rows
from apps.teams.services import Invited

OPEN = Q(accepted_at=None, revoked_at=None, expires_at__gt=Now())

REMOVE = Action(
    "remove",
    _("Remove"),
    Permission.MEMBER_MANAGE,
    lambda view, member: services.remove_member(actor=view.actor, member=member),
    icon="user-x",
    confirm=lambda member: (
        _("%(who)s loses access at once, and the API keys they made for the team end.")
        % {"who": member.user.label}
    ),
    danger=True,
    done=_("The member is removed."),
)


class MemberList(Resource):
    panel = "console"
    title = _("Members")
    permission = Permission.MEMBER_READ
    model = Membership
    order = "name"
    search = ("user__name", "user__email")
    search_hint = _("Search by name or address")
    views = (
        SavedView("all", _("All")),
        SavedView("admins", _("Admins"), Q(role=Role.TEAM_ADMIN)),
    )
    actions = (REMOVE,)
    links = (
        Link(_("Invitations"), "invitations", Permission.MEMBER_READ, icon="mail", primary=False),
        Link(_("Invite"), "invite", Permission.MEMBER_MANAGE, icon="user-plus"),
    )
    columns = (
        Column(
            "name",
            _("Name"),
            lambda one: cells.two_lines(one.user.label, one.user.email),
            sort=("user__name", "user__email"),
            main=True,
            to="member",
            text=lambda one: one.user.email,
        ),
        Column("role", _("Role"), lambda one: role_of(one.role), sort="role"),
        moment("joined", _("Joined"), "created_at", num=True, priority=2),
    )

    def refine(self, found: QuerySet[Any]) -> QuerySet[Any]:
        return found.select_related("user", "team")


class RoleFields(forms.Form):
    role = forms.ChoiceField(label=_("Role"), choices=TEAM_CHOICES, widget=forms.RadioSelect)


class MemberEdit(FormPage):
    panel = "console"
    title = _("Change the role")
    nav = "members"
    permission = Permission.MEMBER_MANAGE
    form_class = RoleFields
    done = _("The role is changed.")
    sections = (Section(_("Role"), _("It counts from the member's next request."), ("role",)),)

    @property
    def intro(self) -> Any:
        return rows.member(self.actor, self.pk).user.label

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Members")), self.url("members"))]

    def initial(self) -> dict[str, Any]:
        return {"role": rows.member(self.actor, self.pk).role}

    def save(self, data: dict[str, Any]) -> Any:
        services.change_role(
            actor=self.actor, member=rows.member(self.actor, self.pk), role=Role(data["role"])
        )
        return self.url("members")


class InviteFields(forms.Form):
    email = forms.EmailField(label=_("E-mail address"))
    role = forms.ChoiceField(
        label=_("Role"), choices=TEAM_CHOICES, initial=Role.TEAM_MEMBER, widget=forms.RadioSelect
    )


class Invite(FormPage):
    """The link is mailed, and shown once to whoever invites: mail may be slow."""

    panel = "console"
    title = _("Invite somebody")
    nav = "members"
    permission = Permission.MEMBER_MANAGE
    form_class = InviteFields
    submit = _("Send the invitation")
    sections = (
        Section(
            _("Person"), _("Only who owns this address can accept. The link is good for a week."), ("email",)
        ),
        Section(_("Role"), _("It can be changed later."), ("role",)),
    )
    invited: Invited | None = None

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Members")), self.url("members")), (str(_("Invitations")), self.url("invitations"))]

    def save(self, data: dict[str, Any]) -> Any:
        self.invited = services.invite_member(
            actor=self.actor, team=self.team, email=data["email"], role=Role(data["role"])
        )
        return self.url("invitations")

    def answered(self, answer: Any) -> HttpResponseBase:
        if self.invited is None:
            return super().answered(answer)
        email = self.invited.invitation.email
        blocks = [
            Note(_("We have mailed the link to %(email)s.") % {"email": email}, "ok"),
            Copies(_("The link, if mail is slow"), [(email, self.invited.url)]),
        ]
        back = {"label": _("Done"), "url": self.url("invitations"), "icon": "check", "primary": True}
        response = self.render(
            "kit/page.html", {"top": [], "main": blocks, "aside": [], "links": [back], "title": _("Invited")}
        )
        response.headers["Cache-Control"] = "no-store"
        return response


WITHDRAW = Action(
    "withdraw",
    _("Withdraw"),
    Permission.MEMBER_MANAGE,
    lambda view, invitation: services.revoke_invitation(actor=view.actor, invitation=invitation),
    icon="ban",
    when=lambda invitation: invitation.is_open,
    confirm=_("The link in the mail stops working."),
    danger=True,
    done=_("The invitation is withdrawn."),
)


def invitation_state(one: Any) -> Any:
    if one.accepted_at:
        return cells.status("accepted", _("Accepted"))
    if one.revoked_at:
        return cells.status("withdrawn", _("Withdrawn"), kind="off")
    return (
        cells.status("pending", _("Sent"), kind="info")
        if one.is_open
        else cells.status("expired", _("Run out"))
    )


class InvitationList(Resource):
    panel = "console"
    title = _("Invitations")
    nav = "members"
    permission = Permission.MEMBER_READ
    model = Invitation
    order = "-sent"
    search = ("email",)
    search_hint = _("Search by address")
    views = (SavedView("open", _("Open"), OPEN), SavedView("all", _("All")))
    actions = (WITHDRAW,)
    links = (Link(_("Invite"), "invite", Permission.MEMBER_MANAGE, icon="user-plus"),)
    empty = Empty(_("Nobody is invited"), _("Invite colleagues by mail."), links[0], icon="mail")
    columns = (
        Column("email", _("E-mail address"), sort="email", main=True),
        Column("role", _("Role"), lambda one: role_of(one.role), sort="role"),
        Column("state", _("State"), invitation_state, text=lambda one: ""),
        Column(
            "expires",
            _("Ends"),
            lambda one: cells.when(one.expires_at),
            sort="expires_at",
            num=True,
            priority=2,
        ),
        Column(
            "sent", _("Sent"), lambda one: cells.when(one.created_at), sort="created_at", num=True, priority=2
        ),
    )

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Members")), self.url("members"))]

    def refine(self, found: QuerySet[Any]) -> QuerySet[Any]:
        rows: QuerySet[Any] = found.annotate(is_open=OPEN).select_related("team")
        return rows


class AuditPage(AuditList):
    panel = "console"
