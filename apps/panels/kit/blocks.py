"""Pieces a page is put together from; each knows its template, so that pages need none of their own."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from apps.panels.kit.columns import Column, Empty

MOST_LINES = 60  # of a chart as a table


@dataclass(frozen=True)
class Block:
    """One card or strip of a page."""

    template: ClassVar[str]


@dataclass(frozen=True)
class Kpi:
    label: Any
    value: Any
    unit: Any = ""
    note: Any = ""
    share: float | None = None  # 0..1, drawn as a bar
    tone: str = "s1"

    @property
    def percent(self) -> float | None:
        return None if self.share is None else round(min(max(self.share, 0), 1) * 100, 1)


@dataclass(frozen=True)
class Kpis(Block):
    items: Sequence[Kpi]
    template: ClassVar[str] = "kit/blocks/kpis.html"


@dataclass(frozen=True)
class Facts(Block):
    """Names and values in two columns; rows whose value is None are left out."""

    title: Any
    items: Sequence[tuple[Any, Any]]
    sub: Any = ""
    link: tuple[Any, str] | None = None
    template: ClassVar[str] = "kit/blocks/facts.html"

    @property
    def rows(self) -> list[tuple[Any, Any]]:
        return [(label, value) for label, value in self.items if value is not None]


@dataclass(frozen=True)
class Table(Block):
    """A short table inside a page: the columns of a list, without its machinery. `buttons(row)` gives
    what kit.actions.buttons gives."""

    title: Any
    columns: Sequence[Column]
    items: Sequence[Any]
    empty: Empty | None = None
    sub: Any = ""
    link: tuple[Any, str] | None = None
    buttons: Any = None
    view: Any = None  # needed when a column has `to`
    template: ClassVar[str] = "kit/blocks/table.html"

    @property
    def has_buttons(self) -> bool:
        return self.buttons is not None  # a template would call `buttons` itself, with nothing

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "row": item,
                "cells": [(column.css, column.value(item, self.view)) for column in self.columns],
                "buttons": self.buttons(item) if self.buttons else [],
            }
            for item in self.items
        ]


@dataclass(frozen=True)
class Series:
    """A line or a stack of a chart; `color` is s1 to s4."""

    label: Any
    values: Sequence[float | None]
    color: str = "s1"
    fill: bool = False
    note: Any = ""  # beside the label in the legend


@dataclass(frozen=True)
class Chart(Block):
    """Values over time (`times` in Unix seconds). `unit`: money, percent, celsius, bytes, rate, number.
    `kind`: line or bars; `days` labels by day (UTC). `summary` says it in words. `ranges` are
    (label, url, is_current) links."""

    id: str
    title: Any
    times: Sequence[float]
    series: Sequence[Series]
    summary: Any
    kind: str = "line"
    unit: str = "number"
    currency: str = "EUR"
    stack: bool = False
    days: bool = False
    maximum: float | None = None
    tall: bool = False
    ranges: Sequence[tuple[Any, str, bool]] = ()
    empty: Any = ""
    template: ClassVar[str] = "kit/blocks/chart.html"
    scripts: ClassVar[tuple[str, ...]] = ("dist/chart.js",)

    @property
    def has_data(self) -> bool:
        return bool(self.times)

    @property
    def config(self) -> dict[str, Any]:
        return {
            "data": [list(self.times), *[[_number(value) for value in one.values] for one in self.series]],
            "series": [
                {"label": str(one.label), "color": one.color, "fill": one.fill} for one in self.series
            ],
            "kind": self.kind,
            "unit": self.unit,
            "currency": self.currency,
            "stack": self.stack,
            "days": self.days,
            "digits": 4 if self.is_small else 2,
            "max": self.maximum,
        }

    @property
    def is_small(self) -> bool:
        """Amounts below one would all round to nothing."""
        return all(float(value or 0) < 1 for one in self.series for value in one.values)

    @property
    def lines(self) -> list[tuple[float, list[Any]]]:
        """The same as a table, for those who cannot see a drawing: every day, or moments evenly apart."""
        values = [one.values for one in self.series]
        step = 1 if self.days else max(1, -(-len(self.times) // MOST_LINES))
        shown = range((len(self.times) - 1) % step, len(self.times), step)  # the last one among them
        return [(self.times[at], [each[at] for each in values]) for at in shown]


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


@dataclass(frozen=True)
class Happened:
    """One line of a timeline. `tone`: ok, info, warn, bad or nothing."""

    text: Any
    at: Any = None
    why: Any = ""
    tone: str = ""
    url: str = ""


@dataclass(frozen=True)
class Events(Block):
    """What happened, newest first."""

    title: Any
    items: Sequence[Happened]
    empty: Any = ""
    link: tuple[Any, str] | None = None
    template: ClassVar[str] = "kit/blocks/events.html"


@dataclass(frozen=True)
class Step:
    """`state`: pending, running, done, failed or skipped; `seconds` it took."""

    name: Any
    state: str
    plane: Any = ""
    detail: Any = ""
    seconds: float | None = None

    @property
    def css(self) -> str:
        return {"running": "now", "done": "done", "failed": "failed"}.get(self.state, "")


@dataclass(frozen=True)
class Steps(Block):
    """A long run, step by step, with the plane of each."""

    title: Any
    items: Sequence[Step]
    note: Any = ""
    elapsed: float | None = None
    progress: int | None = None
    template: ClassVar[str] = "kit/blocks/steps.html"

    @property
    def share(self) -> float:
        return (self.progress or 0) / 100


@dataclass(frozen=True)
class Shares(Block):
    """Named bars: (label, share 0..1, text, tone)."""

    title: Any
    items: Sequence[tuple[Any, float, Any, str]]
    empty: Any = ""
    link: tuple[Any, str] | None = None
    template: ClassVar[str] = "kit/blocks/shares.html"

    @property
    def rows(self) -> list[tuple[Any, float, Any, str]]:
        return [
            (label, round(min(max(share, 0), 1) * 100, 1), text, tone)
            for label, share, text, tone in self.items
        ]


@dataclass(frozen=True)
class Note(Block):
    """A sentence that matters. `tone`: info, ok, warn or bad."""

    text: Any
    tone: str = "info"
    link: tuple[Any, str] | None = None
    template: ClassVar[str] = "kit/blocks/note.html"

    @property
    def icon(self) -> str:
        return {"ok": "circle-check", "warn": "triangle-alert", "bad": "octagon-x"}.get(self.tone, "info")


@dataclass(frozen=True)
class Code(Block):
    """Text to copy: (tab label, text) pairs."""

    id: str
    title: Any
    items: Sequence[tuple[Any, str]]
    template: ClassVar[str] = "kit/blocks/code.html"


@dataclass(frozen=True)
class Copies(Block):
    """Values to copy, one per line: (label, value)."""

    title: Any
    items: Sequence[tuple[Any, str]]
    note: Any = ""
    template: ClassVar[str] = "kit/blocks/copies.html"


@dataclass(frozen=True)
class Html(Block):
    """A template of one's own for what no other block shows; it gets `block.context` as `c`."""

    template: str
    context: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class InlineForm(Block):
    """A small form inside a page, posted to a form page of its own."""

    title: Any
    form: Any
    url: str
    submit: Any
    token: str
    text: Any = ""
    template: ClassVar[str] = "kit/blocks/inline_form.html"
