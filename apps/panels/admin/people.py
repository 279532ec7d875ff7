"""People and staff in the Admin panel, and the audit log of everything."""

from typing import Any

from django import forms
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.http import HttpResponseBase
from django.utils.translation import gettext_lazy as _

from apps.audit.selectors import records
from apps.core.errors import Invalid
from apps.core.permissions import Permission, Role
from apps.panels import staff
from apps.panels.account.recent import confirm_first
from apps.panels.audit import AuditList, happened
from apps.panels.kit import (
    Action,
    Column,
    Detail,
    Empty,
    Events,
    Facts,
    Filter,
    FormPage,
    Link,
    Resource,
    SavedView,
    Section,
    Tab,
    Table,
    cells,
    moment,
    palette,
)
from apps.panels.roles import PLATFORM_CHOICES, REGION_CHOICES, role_of
from apps.regions.models import Region
from apps.teams.models import Membership
from apps.users import selectors, services
from apps.users.models import StaffRole, User

SHUT_OUT = Action(
    "shut-out",
    _("Shut out"),
    Permission.USER_MANAGE,
    lambda view, user: services.deactivate_user(
        actor=view.actor, user=user, reason=str(_("Shut out by staff"))
    ),
    icon="user-x",
    when=lambda user: user.is_active,
    confirm=_("Sessions and API keys of this person end at once. Teams and machines stay."),
    danger=True,
    menu=True,
    done=_("The person is shut out."),
)

LET_IN = Action(
    "let-in",
    _("Let in again"),
    Permission.USER_MANAGE,
    lambda view, user: services.reactivate_user(actor=view.actor, user=user),
    icon="user-check",
    when=lambda user: not user.is_active,
    done=_("The person may sign in again."),
)


def sign_out(view: Any, user: User) -> None:
    services.end_sessions(actor=view.actor, user=user)


SIGN_OUT = Action(
    "sign-out",
    _("Sign out everywhere"),
    Permission.USER_MANAGE,
    sign_out,
    icon="log-out",
    confirm=_("Every browser of this person has to sign in anew."),
    menu=True,
    row=False,
    done=_("All sessions are ended."),
)


def state_of(user: User) -> Any:
    return cells.status("active", _("Active")) if user.is_active else cells.status("refused", _("Shut out"))


class UserList(Resource):
    panel = "admin"
    title = _("Users")
    permission = Permission.USER_READ
    model = User
    order = "email"
    search = ("email", "name")
    search_hint = _("Search by address or name")
    views = (
        SavedView("all", _("All")),
        SavedView("staff", _("Staff"), Q(Exists(StaffRole.objects.filter(user=OuterRef("pk"))))),
        SavedView("out", _("Shut out"), Q(is_active=False)),
    )
    actions = (SHUT_OUT, LET_IN)
    empty = Empty(_("Nobody has signed up yet"), icon="user")
    columns = (
        Column("email", _("E-mail address"), sort="email", main=True, to="user"),
        Column("name", _("Name"), sort="name", priority=2),
        Column("state", _("State"), state_of, sort="is_active", text=lambda user: user.is_active),
        Column(
            "teams",
            _("Teams"),
            lambda user: user.team_count,
            sort="team_count",
            num=True,
            priority=2,
            text=lambda user: user.team_count,
        ),
        moment("seen", _("Last sign-in"), "last_login", num=True),
        moment("created", _("Signed up"), "created_at", num=True, priority=3),
    )

    def rows(self) -> QuerySet[Any]:
        return selectors.people(self.actor)

    def refine(self, found: QuerySet[Any]) -> QuerySet[Any]:
        rows: QuerySet[Any] = found.annotate(team_count=Count("memberships", distinct=True))
        return rows


class UserDetail(Detail):
    panel = "admin"
    permission = Permission.USER_READ
    nav = "users"
    model = User
    tabs = (
        Tab("overview", _("Overview")),
        Tab("teams", _("Teams")),
        Tab("roles", _("Staff roles"), Permission.STAFF_READ),
    )
    actions = (LET_IN, SIGN_OUT, SHUT_OUT)

    def rows(self) -> QuerySet[Any]:
        return selectors.people(self.actor)

    def heading(self) -> Any:
        return self.object.label

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Users")), self.url("users"))]

    def status(self) -> Any:
        return state_of(self.object)

    def meta(self) -> list[Any]:
        return [self.object.email]

    def main_overview(self) -> list[Any]:
        found = records(self.actor).filter(user_id=self.object.pk).order_by("-id")[:20]
        lines = [happened(self, one, one.ip or "") for one in found]
        return [Events(_("What this person did"), lines, _("Nothing yet"))]

    def aside_overview(self) -> list[Any]:
        user = self.object
        return [
            Facts(
                _("Details"),
                [
                    (_("Id"), cells.mono(user.pk)),
                    (_("Language"), user.language),
                    (_("Time zone"), user.time_zone),
                    (_("Signed up"), cells.exact(user.created_at)),
                    (_("Last sign-in"), cells.exact(user.last_login)),
                ],
            )
        ]

    def main_teams(self) -> list[Any]:
        found = Membership.objects.visible_to(self.actor).filter(user=self.object).select_related("team")
        columns = (
            Column(
                "team",
                _("Team"),
                lambda one: cells.link(one.team.name, self.url("team", pk=one.team_id)),
                main=True,
            ),
            Column("role", _("Role"), lambda one: role_of(one.role)),
            Column("joined", _("Joined"), lambda one: cells.when(one.created_at), num=True),
        )
        return [Table(_("Teams"), columns, list(found), Empty(_("In no team"), icon="users"))]

    def main_roles(self) -> list[Any]:
        columns = (
            Column("role", _("Role"), lambda one: role_of(one.role), main=True),
            Column("region", _("Where"), lambda one: one.region_slug or _("The platform")),
            Column("by", _("Granted by"), lambda one: one.granted_by),
            Column("since", _("Since"), lambda one: cells.when(one.created_at), num=True),
        )
        held = selectors.staff_roles(self.actor).filter(user=self.object)
        return [Table(_("Staff roles"), columns, list(held), Empty(_("No staff role"), icon="shield"))]


REVOKE = Action(
    "revoke",
    _("Revoke"),
    Permission.STAFF_MANAGE,
    lambda view, held: services.revoke_staff_role(actor=view.actor, held=held),
    icon="shield-off",
    confirm=lambda held: _("%(who)s loses this role with the next request.") % {"who": held.user.label},
    danger=True,
    done=_("The role is revoked."),
)


class StaffList(Resource):
    panel = "admin"
    title = _("Staff")
    intro = _("Who runs the platform, and who runs which region.")
    permission = Permission.STAFF_READ
    model = StaffRole
    order = "email"
    search = ("user__email", "user__name", "region_slug")
    search_hint = _("Search by address, name or region")
    filters = (Filter("role", _("Role"), PLATFORM_CHOICES + REGION_CHOICES),)
    views = (
        SavedView("all", _("All")),
        SavedView("platform", _("Platform"), Q(region_id=None)),
        SavedView("regions", _("Regions"), Q(region_id__isnull=False)),
    )
    actions = (REVOKE,)
    links = (Link(_("Grant a role"), "staff-new", Permission.STAFF_MANAGE),)
    columns = (staff.PERSON, staff.ROLE, staff.WHERE, staff.GRANTED_BY, staff.SINCE)

    def rows(self) -> QuerySet[Any]:
        return selectors.staff_roles(self.actor)


class StaffFields(forms.Form):
    email = forms.EmailField(label=_("E-mail address"), help_text=_("Of somebody who has signed up."))
    role = forms.ChoiceField(
        label=_("Role"), choices=PLATFORM_CHOICES + REGION_CHOICES, widget=forms.RadioSelect
    )
    region = forms.ModelChoiceField(
        label=_("Region"),
        queryset=Region.objects.none(),
        required=False,
        to_field_name="slug",
        help_text=_("For region roles."),
    )


class StaffNew(FormPage):
    """Handing out power asks who one is first."""

    panel = "admin"
    title = _("Grant a role")
    permission = Permission.STAFF_MANAGE
    form_class = StaffFields
    submit = _("Grant the role")
    done = _("The role is granted.")
    sections = (
        Section(_("Person"), _("They need a second factor where the platform requires one."), ("email",)),
        Section(_("Role"), _("It counts from their next request."), ("role", "region")),
    )

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return confirm_first(request) or super().get(request, *args, **kwargs)

    def post(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return confirm_first(request) or super().post(request, *args, **kwargs)

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Staff")), self.url("staff"))]

    def form(self, data: Any = None) -> forms.Form:
        form = super().form(data)
        regions = Region.objects.visible_to(self.actor).order_by("slug")
        form.fields["region"].queryset = regions  # type: ignore[attr-defined]
        return form

    def save(self, data: dict[str, Any]) -> Any:
        user = selectors.people(self.actor).filter(email__iexact=data["email"]).first()
        if user is None:
            raise Invalid(str(_("Nobody has signed up with this address.")), field="email")
        region = data["region"]
        services.grant_staff_role(
            actor=self.actor,
            user=user,
            role=Role(data["role"]),
            region_id=region.pk if region else None,
            region_slug=region.slug if region else "",
        )
        return self.url("staff")


class AuditPage(AuditList):
    panel = "admin"


def find(actor: Any, place: Any, text: str) -> list[palette.Hit]:
    found = selectors.people(actor).filter(Q(email__icontains=text) | Q(name__icontains=text))
    return [
        palette.Hit(user.label, place.url("user", pk=user.pk), "user", user.email)
        for user in found[: palette.LIMIT]
    ]


palette.SOURCES["admin"].append(palette.Source(_("Users"), Permission.USER_READ, find))
