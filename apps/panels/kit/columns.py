"""What a list is declared with: columns, filters, saved views, the word for an empty one."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q
from django.urls import NoReverseMatch

from apps.core.money import plain
from apps.panels.kit import cells


@dataclass(frozen=True)
class Column:
    """`cell(row)` renders HTML or text (see kit.cells); without it the attribute `name` is shown.

    `sort` is the ORM path (or several) to order by. `priority` 2 and 3 leave narrow tables first.
    `wrap` is for sentences. `text(row)` is what the CSV file says; by default the attribute `name`.
    `to` is a route of the panel that the cell links to, given the row's `pk`, or `to(view, row)` an address.
    """

    name: str
    label: Any
    cell: Callable[[Any], Any] | None = None
    sort: str | tuple[str, ...] = ()
    num: bool = False
    main: bool = False
    mono: bool = False
    wrap: bool = False
    priority: int = 1
    text: Callable[[Any], Any] | None = None
    to: str | Callable[[Any, Any], str] = ""

    @property
    def css(self) -> str:
        """The classes of its cells."""
        parts = [
            ("num", self.num),
            ("main", self.main),
            ("mono", self.mono),
            ("wrap", self.wrap),
            (f"p{self.priority}", self.priority > 1),
        ]
        return " ".join(name for name, on in parts if on)

    def value(self, row: Any, view: Any = None) -> Any:
        shown = self.cell(row) if self.cell else _attribute(row, self.name)
        return cells.link(shown, _address(view, self.to, row)) if self.to and view else shown

    def plain(self, row: Any) -> Any:
        return self.text(row) if self.text else _attribute(row, self.name)


def moment(
    name: str, label: Any, field: str, cell: Callable[[datetime | None], Any] = cells.when, **more: Any
) -> Column:
    """A column of a time, by which one may sort; the CSV file says it whole."""

    def text(row: Any) -> str:
        found = getattr(row, field)
        return found.isoformat() if found else ""

    return Column(name, label, lambda row: cell(getattr(row, field)), **{"sort": field, "text": text, **more})


def money(name: str, label: Any, field: str, **more: Any) -> Column:
    """A column of a sum in the row's own currency, by which one may sort; the CSV file says it exactly."""
    return Column(
        name,
        label,
        lambda row: cells.money(getattr(row, field), row.currency),
        **{"sort": field, "num": True, "text": lambda row: plain(getattr(row, field)), **more},
    )


def _attribute(row: Any, name: str) -> Any:
    for part in name.split("__"):
        row = getattr(row, part, "")
        if row is None:
            return ""
    return row


def _address(view: Any, to: str | Callable[[Any, Any], str], row: Any) -> str:
    if callable(to):
        return to(view, row)
    try:
        return str(view.url(to, pk=row.pk))
    except NoReverseMatch:
        return ""


Options = Iterable[tuple[Any, Any]]


@dataclass(frozen=True)
class Filter:
    """A chip with options. `options` are (value, label) pairs or a function of the view giving them;
    a value filters `field` by equality, unless `query(value)` says otherwise."""

    name: str
    label: Any
    options: Options | Callable[[Any], Options]
    field: str = ""
    query: Callable[[str], Q] | None = None

    def choices(self, view: Any) -> list[tuple[str, Any]]:
        found = self.options(view) if callable(self.options) else self.options
        return [(str(value), label) for value, label in found]

    def condition(self, value: str) -> Q:
        return self.query(value) if self.query else Q(**{self.field or self.name: value})


@dataclass(frozen=True)
class SavedView:
    """A tab over the list: the rows that meet `where`; a function is given the view."""

    name: str
    label: Any
    where: Q | Callable[[Any], Q] | None = None

    def condition(self, view: Any) -> Q:
        return Q() if self.where is None else self.where(view) if callable(self.where) else self.where


@dataclass(frozen=True)
class Link:
    """A place to go from a page: shown when one holds the permission. `name` is a route of the panel."""

    label: Any
    name: str
    permission: Any = None
    icon: str = "plus"
    primary: bool = True


@dataclass(frozen=True)
class Empty:
    """What will be here, and the one thing to do about it."""

    title: Any
    text: Any = ""
    link: Link | None = None
    icon: str = "inbox"
