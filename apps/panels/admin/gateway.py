"""The gateway in the Admin panel: its workers, circuits that are open, and limits on every level."""

from functools import cached_property
from typing import Any, ClassVar

from django import forms
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.core.permissions import Permission
from apps.inference.models import Replica
from apps.inference.selectors import gateways, reading
from apps.inference.selectors import limits as in_force
from apps.inference.selectors.gateways import GatewayWorker
from apps.inference.services import limits
from apps.inference.specs import Limits
from apps.inference.states import LimitLevel
from apps.panels.endpoints import where_of
from apps.panels.kit import Column, Empty, Facts, FormPage, Kpi, Kpis, Link, Note, Page, Section, Table, cells

STATES = {"ready": _("Ready"), "silent": _("Silent")}
TONES = {"ready": "ok", "degraded": "warn", "silent": "bad"}


def state_of(one: GatewayWorker) -> Any:
    if one.state == "degraded":
        return _now("Without %(these)s") % {"these": ", ".join(one.lacks)}
    return STATES[one.state]


def ago(one: GatewayWorker) -> str:
    return _now("%(s)s s ago") % {"s": f"{one.snapshot_seconds:.0f}"} if one.snapshot_seconds >= 0 else "–"


def address(one: GatewayWorker) -> str:
    return _now("port %(number)s") % {"number": one.port}


WORKER_COLUMNS = (
    Column("name", _("Worker"), lambda one: cells.two_lines(one.name, address(one)), main=True, mono=True),
    Column("state", _("State"), lambda one: cells.status(one.state, state_of(one), kind=TONES[one.state])),
    Column("under_way", _("Under way"), num=True),
    Column("connections", _("Connections"), num=True, priority=2),
    Column("requests", _("Answered"), num=True),
    Column("refusals", _("Refused"), num=True, priority=2),
    Column("unsettled", _("To be settled"), num=True, priority=2),
    Column("snapshot_seconds", _("Knows since"), ago, num=True, priority=3),
)
CIRCUIT_COLUMNS = (
    Column("replica", _("Replica"), main=True, mono=True, to=lambda view, one: one.address(view)),
    Column("of", _("Endpoint"), lambda one: one.of, mono=True),
    Column("states", _("Circuit"), lambda one: cells.status("open", one.states, kind="warn")),
    Column("workers", _("At workers"), num=True),
)


class Circuit:
    """A replica that some worker does not ask just now; it may have ended since."""

    def __init__(self, replica: str, states: dict[str, str], known: Replica | None):
        self.pk = replica
        self.replica = replica[-8:]
        self.of = cells.two_lines(known.endpoint.slug, where_of(known)) if known else cells.NONE
        self.endpoint = str(known.endpoint_id) if known else ""
        self.states = ", ".join(sorted(set(states.values())))
        self.workers = len(states)

    def address(self, view: Any) -> str:
        return str(view.url("endpoint", pk=self.endpoint)) if self.endpoint else ""


class GatewayPage(Page):
    panel = "admin"
    permission = Permission.LIMIT_READ
    title = _("Gateway")
    intro = _("Everything under /v1 goes through these processes.")
    live = "limit. endpoint. replica."
    every = 5
    links: ClassVar = (Link(_("Set limits"), "limits", Permission.LIMIT_MANAGE, icon="gauge"),)

    @cached_property
    def workers(self) -> list[GatewayWorker]:
        return gateways.workers()

    def top(self) -> list[Any]:
        found = self.workers
        if not found:
            words = _("No worker has been heard of. Is the gateway started, and Redis there?")
            return [Note(words, "warn")]
        ready = [one for one in found if one.state == "ready"]
        share = len(ready) / len(found)
        return [
            Kpis(
                [
                    Kpi(_("Workers ready"), len(ready), unit=_("of %(n)s") % {"n": len(found)}, share=share),
                    Kpi(_("Under way"), sum(one.under_way for one in found)),
                    Kpi(_("Waiting"), sum(one.queued for one in found)),
                    Kpi(_("Connections"), sum(one.connections for one in found)),
                    Kpi(_("To be settled"), sum(one.unsettled for one in found)),
                ]
            )
        ]

    def main(self) -> list[Any]:
        found = gateways.open_circuits(self.workers)
        rows = reading.list_replicas(actor=self.actor).select_related("endpoint", "node", "cluster")
        known = {str(one.pk): one for one in rows.filter(pk__in=found)} if found else {}
        circuits = [Circuit(pk, states, known.get(pk)) for pk, states in found.items()]
        no_worker = Empty(_("No worker"), _("They tell of themselves once a second."), icon="waypoints")
        no_circuit = Empty(
            _("All circuits are closed"), _("No replica has failed again and again."), icon="check"
        )
        return [
            Table(_("Workers"), WORKER_COLUMNS, self.workers, no_worker, view=self),
            Table(_("Open circuits"), CIRCUIT_COLUMNS, circuits, no_circuit, view=self),
        ]

    def aside(self) -> list[Any]:
        levels = in_force.levels()
        return [
            Facts(
                _("Requests per minute"),
                [(one.label, shown(levels[one].requests_per_minute)) for one in LimitLevel],
            ),
            Facts(
                _("Tokens per day"), [(one.label, shown(levels[one].tokens_per_day)) for one in LimitLevel]
            ),
        ]


def shown(number: int | None) -> Any:
    return _("No limit") if number is None else cells.number(number)


def _number(label: Any) -> forms.IntegerField:
    return forms.IntegerField(label=label, required=False, min_value=0, help_text=_("Empty: as delivered."))


class LevelFields(forms.Form):
    platform_requests = _number(_("The platform, requests per minute"))
    team_requests = _number(_("A team, requests per minute"))
    workspace_requests = _number(_("A workspace, requests per minute"))
    key_requests = _number(_("An API key, requests per minute"))
    platform_tokens = _number(_("The platform, tokens per day"))
    team_tokens = _number(_("A team, tokens per day"))
    workspace_tokens = _number(_("A workspace, tokens per day"))
    key_tokens = _number(_("An API key, tokens per day"))


class LimitsPage(FormPage):
    """What holds for teams, workspaces and keys without numbers of their own, and for the platform."""

    panel = "admin"
    permission = Permission.LIMIT_MANAGE
    title = _("Limits")
    nav = "gateway"
    form_class = LevelFields
    submit = _("Set the limits")
    done = _("The limits hold from now on.")
    sections = (
        Section(
            _("Requests per minute"),
            _("Counted together on each level; the tightest one decides."),
            tuple(f"{level}_requests" for level in LimitLevel),
        ),
        Section(
            _("Tokens per day"),
            _("The request that crosses the line is finished, the next one refused."),
            tuple(f"{level}_tokens" for level in LimitLevel),
        ),
    )

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Gateway")), self.url("gateway"))]

    def initial(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for level, own in in_force.levels().items():
            found |= {f"{level}_requests": own.requests_per_minute, f"{level}_tokens": own.tokens_per_day}
        return found

    def save(self, data: dict[str, Any]) -> Any:
        wanted = {level: Limits(data[f"{level}_requests"], data[f"{level}_tokens"]) for level in LimitLevel}
        limits.set_levels(actor=self.actor, wanted=wanted)
        return self.url("gateway")
