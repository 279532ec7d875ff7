"""How much a key, a workspace or a team may ask of models: one form for each level."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.core.permissions import Permission
from apps.inference.selectors import limits as in_force
from apps.inference.services import limits
from apps.inference.specs import Limits
from apps.inference.states import LimitLevel
from apps.panels.kit import FormPage, Section, cells
from apps.teams.selectors import rows


class RateFields(forms.Form):
    requests_per_minute = forms.IntegerField(
        label=_("Requests per minute"), required=False, min_value=0, help_text=_("Empty: as usual.")
    )
    tokens_per_day = forms.IntegerField(
        label=_("Tokens per day"), required=False, min_value=0, help_text=_("Empty: as usual.")
    )


class SubjectLimits(FormPage):
    """The numbers of one subject; the level's hold where it has none."""

    level: LimitLevel
    permission = Permission.LIMIT_MANAGE
    form_class = RateFields
    submit = _("Set the limits")
    done = _("The limits hold from now on.")
    sections = (
        Section(
            _("Inference"),
            _("They are counted on every level: key, workspace, team, platform; the tightest one decides."),
            ("requests_per_minute", "tokens_per_day"),
        ),
    )

    def subject(self) -> Any:
        """Whom the numbers are for, as far as one may see it."""
        raise NotImplementedError

    def set(self, wanted: Limits) -> Any:
        """Set them; answers where to go then."""
        raise NotImplementedError

    @property
    def intro(self) -> Any:
        usual = in_force.levels()[self.level]
        numbers = {
            "requests": _("any number of")
            if usual.requests_per_minute is None
            else cells.number(usual.requests_per_minute),
            "tokens": _("any number of")
            if usual.tokens_per_day is None
            else cells.number(usual.tokens_per_day),
        }
        words = _("As usual: %(requests)s requests per minute, %(tokens)s tokens per day.") % numbers
        return f"{self.subject()} · {words}"

    def initial(self) -> dict[str, Any]:
        pk = str(self.subject().pk)
        own = in_force.own_limits(self.level, [pk]).get(pk, Limits())
        return {"requests_per_minute": own.requests_per_minute, "tokens_per_day": own.tokens_per_day}

    def save(self, data: dict[str, Any]) -> Any:
        return self.set(Limits(**data))


class KeyLimits(SubjectLimits):
    panel = "console"
    title = _("Limits of the key")
    level = LimitLevel.KEY
    permission = Permission.API_KEY_MANAGE
    nav = "api-keys"

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("API keys")), self.url("api-keys"))]

    def subject(self) -> Any:
        return rows.api_key(self.actor, self.pk)

    def set(self, wanted: Limits) -> Any:
        limits.set_key(actor=self.actor, key=self.subject(), limits=wanted)
        return self.url("api-keys")


class WorkspaceLimits(SubjectLimits):
    panel = "console"
    title = _("Limits of the workspace")
    level = LimitLevel.WORKSPACE
    nav = "workspaces"

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Workspaces")), self.url("workspaces"))]

    def subject(self) -> Any:
        return rows.workspace(self.actor, self.pk)

    def set(self, wanted: Limits) -> Any:
        limits.set_workspace(actor=self.actor, workspace=self.subject(), limits=wanted)
        return self.url("workspaces")


class TeamLimits(SubjectLimits):
    """What all keys of a team may together; the platform decides that."""

    panel = "admin"
    title = _("Limits of the team")
    level = LimitLevel.TEAM
    nav = "teams"

    def crumbs(self) -> list[tuple[str, str]]:
        team = self.subject()
        return [(str(_("Teams")), self.url("teams")), (team.name, self.url("team", pk=team.pk))]

    def subject(self) -> Any:
        return rows.team(self.actor, self.pk)

    def set(self, wanted: Limits) -> Any:
        limits.set_team(actor=self.actor, team=self.subject(), limits=wanted)
        return self.url("team", pk=self.pk)
