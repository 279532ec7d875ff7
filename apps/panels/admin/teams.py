"""Teams in the Admin panel."""

from typing import Any

from django import forms
from django.db.models import Count, Q, QuerySet
from django.utils.translation import gettext_lazy as _

from apps.audit.selectors import records
from apps.core.errors import Invalid
from apps.core.money import DEFAULT_CURRENCY
from apps.core.permissions import Permission
from apps.panels.audit import happened
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
    Note,
    Resource,
    SavedView,
    Section,
    Tab,
    Table,
    cells,
    moment,
    palette,
)
from apps.panels.money import money_of
from apps.panels.roles import role_of
from apps.teams import services
from apps.teams.models import Team
from apps.teams.selectors import rows
from apps.teams.states import TEAM, TeamState
from apps.users.selectors import people

CURRENCIES = (("EUR", "EUR"), ("USD", "USD"), ("GBP", "GBP"), ("CHF", "CHF"), ("JPY", "JPY"))


def suspend(view: Any, team: Team) -> None:
    services.suspend_team(actor=view.actor, team=team, reason=str(_("Suspended by staff")))


SUSPEND = Action(
    "suspend",
    _("Suspend"),
    Permission.TEAM_SUSPEND,
    suspend,
    icon="circle-pause",
    when=lambda team: TEAM.allows("suspend", team.state),
    confirm=_("Its members can look and pay, nothing else. Running machines go on running and costing."),
    danger=True,
    menu=True,
    done=_("The team is suspended."),
)

RESUME = Action(
    "resume",
    _("Resume"),
    Permission.TEAM_SUSPEND,
    lambda view, team: services.resume_team(actor=view.actor, team=team),
    icon="circle-play",
    when=lambda team: TEAM.allows("resume", team.state),
    done=_("The team is active again."),
)

CLOSE = Action(
    "close",
    _("Close"),
    Permission.TEAM_SUSPEND,
    lambda view, team: services.close_team(actor=view.actor, team=team),
    icon="ban",
    when=lambda team: TEAM.allows("close", team.state),
    confirm=_("The team ends for good; nobody gets in any more. Its books stay."),
    type_name=True,
    danger=True,
    menu=True,
    row=False,
    done=_("The team is closed."),
)


def state_of(team: Team) -> Any:
    return cells.status(team.state, team.get_state_display())


class TeamList(Resource):
    panel = "admin"
    title = _("Teams")
    permission = Permission.TEAM_READ
    model = Team
    live = "team."
    order = "name"
    search = ("name", "slug", "memberships__user__email")
    search_hint = _("Search by name, address or member")
    filters = (Filter("currency", _("Currency"), CURRENCIES),)
    views = (
        SavedView("all", _("All")),
        SavedView("active", TeamState.ACTIVE.label, Q(state=TeamState.ACTIVE)),
        SavedView("suspended", TeamState.SUSPENDED.label, Q(state=TeamState.SUSPENDED)),
        SavedView("closed", TeamState.CLOSED.label, Q(state=TeamState.CLOSED)),
    )
    actions = (SUSPEND, RESUME)
    links = (Link(_("Add a team"), "team-new", Permission.TEAM_CREATE),)
    empty = Empty(_("No team yet"), _("People make their own when they sign up."), links[0], icon="users")
    columns = (
        Column("name", _("Name"), lambda team: team.name, sort="name", main=True, to="team"),
        Column("slug", _("Address"), sort="slug", mono=True, priority=2),
        Column("state", _("State"), state_of, sort="state"),
        Column(
            "members",
            _("Members"),
            lambda team: team.member_count,
            sort="member_count",
            num=True,
            text=lambda team: team.member_count,
        ),
        Column("currency", _("Currency"), sort="currency", priority=3),
        moment("created", _("Made"), "created_at", num=True, priority=2),
    )

    def refine(self, found: QuerySet[Any]) -> QuerySet[Any]:
        rows: QuerySet[Any] = found.annotate(member_count=Count("memberships", distinct=True)).distinct()
        return rows


class TeamFields(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=80)
    owner = forms.EmailField(label=_("Admin"), help_text=_("The address of somebody who has signed up."))
    currency = forms.ChoiceField(label=_("Currency"), choices=CURRENCIES, initial=DEFAULT_CURRENCY)


class TeamNew(FormPage):
    panel = "admin"
    title = _("Add a team")
    permission = Permission.TEAM_CREATE
    form_class = TeamFields
    submit = _("Add the team")
    done = _("The team is there.")
    sections = (
        Section(_("Identity"), _("The address is made from the name and stays."), ("name", "owner")),
        Section(_("Money"), _("It cannot be changed once something was charged."), ("currency",)),
    )

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Teams")), self.url("teams"))]

    def save(self, data: dict[str, Any]) -> Any:
        owner = people(self.actor).filter(email__iexact=data["owner"]).first()
        if owner is None:
            raise Invalid(str(_("Nobody has signed up with this address.")), field="owner")
        team = services.create_team(
            actor=self.actor, name=data["name"], owner=owner, currency=data["currency"]
        )
        return self.url("team", pk=team.pk)


class TeamDetail(Detail):
    panel = "admin"
    permission = Permission.TEAM_READ
    nav = "teams"
    model = Team
    live = "team."
    tabs = (
        Tab("overview", _("Overview")),
        Tab("members", _("Members"), Permission.MEMBER_READ),
        Tab("workspaces", _("Workspaces"), Permission.WORKSPACE_READ),
        Tab("keys", _("API keys"), Permission.API_KEY_READ),
    )
    actions = (RESUME, SUSPEND, CLOSE)
    links = (
        Link(_("Give credit"), "team-credit", Permission.WALLET_CREDIT, icon="coins", primary=False),
        Link(_("Terms"), "team-terms", Permission.PRICE_READ, icon="file-text", primary=False),
        Link(_("Credit limit"), "team-limit", Permission.WALLET_CREDIT, icon="scale", primary=False),
        Link(
            _("Rate limits"),
            "team-rate-limits",
            Permission.LIMIT_MANAGE,
            icon="sliders-horizontal",
            primary=False,
        ),
    )

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Teams")), self.url("teams"))]

    def status(self) -> Any:
        return state_of(self.object)

    def meta(self) -> list[Any]:
        return [cells.mono(self.object.slug), self.object.currency]

    def top(self) -> list[Any]:
        team = self.object
        because = team.suspended_because
        return [Note(f"{_('Suspended')}: {because}", "warn")] if team.state == TeamState.SUSPENDED else []

    def main_overview(self) -> list[Any]:
        found = records(self.actor).filter(team_id=self.object.pk).order_by("-id")[:15]
        lines = [happened(self, one, one.actor_label) for one in found]
        audit = (_("All"), f"{self.url('audit')}?q={self.object.name}")
        return [Events(_("What happened"), lines, _("Nothing yet"), audit)]

    def aside_overview(self) -> list[Any]:
        team = self.object
        return [
            *money_of(self.actor, team.pk),
            Facts(
                _("Details"),
                [
                    (_("Id"), cells.mono(team.pk)),
                    (_("Currency"), team.currency),
                    (_("Made"), cells.exact(team.created_at)),
                    (_("Suspended"), cells.exact(team.suspended_at) if team.suspended_at else None),
                ],
            ),
        ]

    def main_members(self) -> list[Any]:
        columns = (
            Column("name", _("Name"), lambda one: cells.two_lines(one.user.label, one.user.email), main=True),
            Column("role", _("Role"), lambda one: role_of(one.role)),
            Column("joined", _("Joined"), lambda one: cells.when(one.created_at), num=True),
        )
        return [Table(_("Members"), columns, list(rows.members(self.actor, self.object)))]

    def main_workspaces(self) -> list[Any]:
        columns = (
            Column("name", _("Name"), main=True),
            Column("slug", _("Address"), mono=True),
            Column("created", _("Made"), lambda one: cells.when(one.created_at), num=True),
        )
        return [Table(_("Workspaces"), columns, list(rows.workspaces(self.actor, self.object)))]

    def main_keys(self) -> list[Any]:
        columns = (
            Column("name", _("Name"), main=True),
            Column("prefix", _("Begins with"), lambda one: cells.mono(one.prefix)),
            Column("user", _("Made by"), lambda one: one.user.label),
            Column("used", _("Last used"), lambda one: cells.when(one.last_used_at), num=True),
        )
        live = rows.api_keys(self.actor, self.object).filter(revoked_at=None)
        return [Table(_("API keys"), columns, list(live), Empty(_("No API key"), icon="key"))]


def find(actor: Any, place: Any, text: str) -> list[palette.Hit]:
    found = rows.teams(actor).filter(name__icontains=text)[: palette.LIMIT]
    return [palette.Hit(team.name, place.url("team", pk=team.pk), "users", team.slug) for team in found]


palette.SOURCES["admin"].append(palette.Source(_("Teams"), Permission.TEAM_READ, find))
