"""What went on at an endpoint, as figures and charts."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.inference.selectors.traffic import Figures, Traffic
from apps.panels.kit import Chart, Kpi, Series, cells

NOBODY = _("Nobody has called it in this time.")


def figures(found: Traffic, label: Any) -> list[Kpi]:
    total = found.total
    return [
        Kpi(label, cells.number(total.requests), note=_broken(total)),
        Kpi(_("First token"), seconds(total.first_median), note=_most(total.first_p95)),
        Kpi(_("Whole answer"), seconds(total.median), note=_most(total.p95)),
        Kpi(_("Tokens in and out"), f"{cells.number(total.input)} / {cells.number(total.output)}"),
    ]


def requests(found: Traffic, links: Any) -> Chart:
    per_minute = [one.figures.requests * 60 / found.step.total_seconds() for one in found.buckets]
    return Chart(
        "requests",
        _("Requests per minute"),
        found.times,
        [Series(_("Requests"), per_minute, "s1", fill=True)],
        _now("%(n)s requests came in this time.") % {"n": found.total.requests},
        ranges=links,
        empty=NOBODY,
    )


def latency(found: Traffic) -> Chart:
    said = _now("Half of the whole answers came within %(half)s, 95 %% within %(most)s.")
    return _spread("latency", _("Seconds per answer"), found, attrgetter("median", "p95"), said)


def first_bytes(found: Traffic) -> Chart:
    said = _now("Half of the streams began within %(half)s, 95 %% within %(most)s.")
    pick = attrgetter("first_median", "first_p95")
    return _spread("first-bytes", _("Seconds to the first token"), found, pick, said)


def _spread(
    name: str,
    title: Any,
    found: Traffic,
    pick: Callable[[Figures], tuple[float | None, float | None]],
    said: str,
) -> Chart:
    shown = [pick(one.figures) for one in found.buckets]
    half, most = pick(found.total)
    return Chart(
        name,
        title,
        found.times,
        [
            Series(_("Half"), [half for half, _most in shown], "s2"),
            Series(_("95 %"), [most for _half, most in shown], "s4"),
        ],
        said % {"half": seconds(half), "most": seconds(most)},
        empty=NOBODY,
    )


def tokens(found: Traffic) -> Chart:
    span = found.step.total_seconds()
    shown = [one.figures for one in found.buckets]
    return Chart(
        "tokens",
        _("Tokens per second"),
        found.times,
        [
            Series(_("In"), [one.input / span for one in shown], "s1"),
            Series(_("Out"), [one.output / span for one in shown], "s3"),
        ],
        _now("Tokens read and written per second."),
        empty=NOBODY,
    )


def seconds(value: float | None) -> str:
    return "–" if value is None else _now("%(s)s s") % {"s": f"{value:.2f}"}


def _most(value: float | None) -> str:
    return "" if value is None else _now("95 %% within %(s)s") % {"s": seconds(value)}


def _broken(total: Figures) -> str:
    said = [(total.refused, _now("%(n)s refused")), (total.broken, _now("%(n)s broken off"))]
    return ", ".join(text % {"n": cells.number(count)} for count, text in said if count)
