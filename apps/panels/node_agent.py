"""What a node's agent says, and how far its enrolment has come, as blocks of the node's page."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db.models import F, QuerySet
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.core.clock import db_now
from apps.nodes.models import Node, NodeAgent, NodeSample
from apps.nodes.selectors import list_samples
from apps.operations.selectors import operations_of
from apps.panels import operations, words
from apps.panels.kit import Chart, Column, Empty, Facts, Html, Note, Series, Steps, Table, cells

RANGES: dict[str, tuple[Any, timedelta]] = {
    "1h": (_("1 h"), timedelta(hours=1)),
    "6h": (_("6 h"), timedelta(hours=6)),
    "24h": (_("24 h"), timedelta(hours=24)),
}
MOST_POINTS = 360


def steps_of(view: Any, node: Node) -> Steps | None:
    """The timeline of the node's last enrolment; None when it never had one."""
    latest = operations_of(actor=view.actor, target_id=node.pk).filter(kind="node.enrol").first()
    if latest is None:
        return None
    return Steps(
        words.kind(latest.kind),
        operations.steps_of(list(latest.steps.all())),
        note=" ".join(part for part in (latest.error_message, latest.undone) if part),
        elapsed=operations.seconds_of(latest) if latest.is_open else None,
        progress=latest.progress if latest.is_open else None,
    )


def enrolment(view: Any, node: Node) -> list[Any]:
    """The timeline of its coming in, in a part of the page that others may ask for."""
    return [Html("nodes/enrol_steps.html", {"steps": steps_of(view, node)})]


def live_enrolment(view: Any, node: Node) -> Html:
    """The same on a page of another address, kept up to date by the node's; there it stays for good."""
    about = {"steps": steps_of(view, node), "node": node, "query": view.place.query}
    return Html("nodes/enrol_live.html", {**about, "url": f"{view.url('node', pk=node.pk)}?tab=agent"})


def facts(agent: NodeAgent | None) -> Facts | Note:
    """Who speaks for the host, and since when it was last heard."""
    if agent is None or agent.last_heard_at is None:
        return Note(_("No agent reports this host."), "info")
    known = agent.facts
    notice = agent.notice and f"{agent.notice['action']} {agent.notice['at'] or ''}".strip()
    rows = [
        (_("Version"), cells.mono(agent.version)),
        (_("Last heard"), cells.when(agent.last_heard_at)),
        (_("Stopped"), cells.yes_no(agent.is_stopped) if agent.is_stopped else None),
        (_("Clock off by"), _now("%(n)s s") % {"n": agent.skew_seconds}),
        (_("Hostname"), cells.mono(known["hostname"]) if known else None),
        (_("Kernel"), cells.mono(known["kernel"]) if known else None),
        (_("Kept in its journal up to"), cells.number(agent.acknowledged)),
        (_("Its provider says"), notice or None),
        (_("Fenced itself"), cells.exact(agent.fenced_at) if agent.fenced_at else None),
    ]
    return Facts(_("Agent"), rows)


def charts(view: Any, node: Node) -> list[Any]:
    """What the host and its cards did."""
    asked = view.request.GET.get("range", "1h")
    chosen = asked if asked in RANGES else "1h"
    since = db_now() - RANGES[chosen][1]
    samples = thinned(list_samples(actor=view.actor, node_id=node.pk).filter(at__gte=since))
    links = [
        (label, f"{view.home()}?tab=agent&range={name}", name == chosen)
        for name, (label, _span) in RANGES.items()
    ]
    return [_load(node, samples, links), *_cards(samples), engines(samples)]


def thinned(samples: QuerySet[Any]) -> list[NodeSample]:
    """As many as a chart shows, evenly; the others are not even read, however much a host reports."""
    step = max(1, samples.count() // MOST_POINTS)
    return list(samples.annotate(turn=F("seq") % step).filter(turn=0)[: 2 * MOST_POINTS])


def _load(node: Node, samples: Sequence[NodeSample], links: Any) -> Chart:
    busy = [one.cpu_percent for one in samples]
    total = node.memory_mib or 1
    return Chart(
        "load",
        _("Processor and memory"),
        [one.at.timestamp() for one in samples],
        [
            Series(_("Processor"), busy, "s1", fill=True),
            Series(
                _("Memory"), [min(100, round(100 * one.memory_used_mib / total, 1)) for one in samples], "s2"
            ),
        ],
        _now("The processors were %(mean)s %% busy on average.")
        % {"mean": round(sum(busy) / len(busy)) if busy else 0},
        unit="percent",
        maximum=100,
        ranges=links,
        empty=_("Nothing was measured yet: the agent reports every ten seconds."),
    )


def _cards(samples: Sequence[NodeSample]) -> list[Chart]:
    """How busy they are on average, what is in their memory, and the hottest of them."""
    seen = [one for one in samples if one.gpus]
    if not seen:
        return []
    times = [one.at.timestamp() for one in seen]
    busy = [_mean([card.get("busy_percent") for card in one.gpus]) for one in seen]
    full = [_sum([card.get("memory_used_mib") for card in one.gpus]) for one in seen]
    heat = [_most([card.get("temperature_c") for card in one.gpus]) for one in seen]
    return [
        Chart(
            "gpus",
            _("GPUs"),
            times,
            [Series(_("Busy, on average"), busy, "s1", fill=True)],
            _now("How busy the GPUs were on average."),
            unit="percent",
            maximum=100,
        ),
        Chart(
            "gpu-memory",
            _("Memory of the GPUs"),
            times,
            [Series(_("In use, all cards"), full, "s2", fill=True)],
            _now("How much of the memory of all cards together was in use."),
            unit="bytes",
        ),
        Chart(
            "heat",
            _("Hottest GPU"),
            times,
            [Series(_("Temperature"), heat, "s3")],
            _now("Temperature of the hottest GPU."),
            unit="celsius",
        ),
    ]


def engines(samples: Sequence[NodeSample]) -> Table:
    """The engines on the host as they were last seen."""
    shown = list(samples[-1].engines) if samples else []
    empty = Empty(_("No engine"), _("Engines that serve models on this host appear here."), icon="zap")
    return Table(_("Engines"), ENGINES, shown, empty)


ENGINES = (
    Column("name", _("Engine"), lambda one: cells.mono(one["name"]), main=True),
    Column(
        "healthy",
        _("State"),
        lambda one: (
            cells.status("healthy", _("Answers"), kind="ok")
            if one["healthy"]
            else cells.status("failed", _("Silent"), kind="bad")
        ),
    ),
    Column("running", _("Running"), lambda one: one.get("running", cells.NONE), num=True),
    Column("waiting", _("Waiting"), lambda one: one.get("waiting", cells.NONE), num=True),
    Column("tokens", _("Tokens given"), lambda one: one.get("output_tokens", cells.NONE), num=True),
)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [one for one in values if one is not None]
    return round(sum(known) / len(known), 1) if known else None


def _sum(values: Sequence[float | None]) -> float | None:
    """Of what is told in MiB, in bytes."""
    known = [one for one in values if one is not None]
    return sum(known) * 2**20 if known else None


def _most(values: Sequence[float | None]) -> float | None:
    return max((one for one in values if one is not None), default=None)
