"""Quarantined usage in the Admin panel: what was reported, why it was set aside, what is to become of it."""

import json
from typing import Any

from django import forms
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from apps.billing.models import Quarantined
from apps.billing.selectors import quarantine
from apps.billing.services import decisions
from apps.billing.states import QuarantineReason, QuarantineState
from apps.core.permissions import Permission
from apps.panels.kit import (
    Action,
    Code,
    Column,
    Detail,
    Empty,
    Facts,
    Filter,
    FormPage,
    Link,
    Resource,
    SavedView,
    cells,
    moment,
)

RELEASE = Action(
    "release",
    _("Charge after all"),
    Permission.BILLING_MANAGE,
    lambda view, report: decisions.release(actor=view.actor, quarantined=report) and None,
    icon="circle-check",
    when=lambda report: report.state == QuarantineState.OPEN,
    confirm=_("What had no price is rated anew; other content under a known id becomes a correction."),
    bulk=True,
    done=_("It is charged within seconds."),
)
TONES = {"open": "pending", "released": "active", "discarded": "ended"}


def state_of(report: Quarantined) -> Any:
    return cells.status(TONES[report.state], QuarantineState(report.state).label)


class QuarantineList(Resource):
    panel = "admin"
    permission = Permission.BILLING_READ
    title = _("Quarantine")
    intro = _("Usage that could not be believed. Nobody is charged for it until somebody decides.")
    model = Quarantined
    live = "usage."
    order = "-received"
    search = ("event_id", "source", "detail")
    search_hint = _("Search by event or source")
    filters = (Filter("reason", _("Reason"), QuarantineReason.choices),)
    views = (
        SavedView("open", _("Open"), Q(state=QuarantineState.OPEN)),
        SavedView("decided", _("Decided"), ~Q(state=QuarantineState.OPEN)),
        SavedView("all", _("All")),
    )
    actions = (RELEASE,)
    empty = Empty(
        _("Nothing in quarantine"), _("Every report was understood and charged."), icon="circle-check"
    )
    columns = (
        Column("event", _("Event"), lambda one: one.event_id, main=True, to="quarantined", sort="event_id"),
        Column("source", _("Source"), sort="source", mono=True),
        Column("meter", _("Meter"), priority=3),
        Column(
            "reason",
            _("Reason"),
            lambda one: one.get_reason_display(),
            sort="reason",
            text=lambda one: one.reason,
        ),
        Column("state", _("State"), state_of, sort="state", text=lambda one: one.state),
        moment("received", _("Received"), "received_at", priority=2),
    )

    def rows(self) -> QuerySet[Any]:
        return quarantine.reports(self.actor)


class QuarantineDetail(Detail):
    panel = "admin"
    permission = Permission.BILLING_READ
    nav = "quarantine"
    model = Quarantined
    live = "usage."
    actions = (RELEASE,)

    @property
    def links(self) -> tuple[Link, ...]:  # type: ignore[override]
        discard = Link(
            _("Discard"), "quarantine-discard", Permission.BILLING_MANAGE, icon="trash-2", primary=False
        )
        return (discard,) if self.object.state == QuarantineState.OPEN else ()

    def rows(self) -> QuerySet[Any]:
        return quarantine.reports(self.actor)

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Quarantine")), self.url("quarantine"))]

    def status(self) -> Any:
        return state_of(self.object)

    def meta(self) -> list[Any]:
        return [self.object.get_reason_display(), cells.mono(self.object.source)]

    def main_overview(self) -> list[Any]:
        text = json.dumps(self.object.payload, indent=2, ensure_ascii=False)
        return [Code("payload", _("As it came"), [("JSON", text)])]

    def aside_overview(self) -> list[Any]:
        one = self.object
        return [
            Facts(
                _("Details"),
                [
                    (_("Why"), one.detail or one.get_reason_display()),
                    (_("Team"), self._team(one.team_id)),
                    (_("Meter"), one.meter or None),
                    (_("Received"), cells.exact(one.received_at)),
                    (_("Decided"), cells.exact(one.resolved_at) if one.resolved_at else None),
                    (_("Decided by"), one.resolved_by or None),
                    (_("Note"), one.note or None),
                ],
            )
        ]

    def _team(self, team_id: str) -> Any:
        """Where to look at the team, when there is one of that id."""
        is_known = team_id and self.object.reason != QuarantineReason.UNKNOWN_TEAM
        return cells.link(cells.mono(team_id), self.url("team", pk=team_id)) if is_known else team_id or None


class DiscardFields(forms.Form):
    note = forms.CharField(label=_("Why"), max_length=300, help_text=_("It stays with the report for good."))


class QuarantineDiscard(FormPage):
    panel = "admin"
    permission = Permission.BILLING_MANAGE
    nav = "quarantine"
    title = _("Discard a report")
    intro = _("Nobody is ever charged for it.")
    form_class = DiscardFields
    submit = _("Discard")
    danger = True
    done = _("It is discarded.")

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Quarantine")), self.url("quarantine"))]

    def save(self, data: dict[str, Any]) -> str:
        report = quarantine.find_report(self.actor, self.kwargs["pk"])
        decisions.discard(actor=self.actor, quarantined=report, note=data["note"])
        return self.url("quarantined", pk=report.pk)
