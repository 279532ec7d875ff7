"""A list page, declared: columns, filters, saved views, sort, pages, CSV, buttons; all in the URL."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.core.paginator import Page, Paginator
from django.db.models import Count, Model, Q, QuerySet
from django.http import HttpResponse, HttpResponseBase
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext as _

from apps.panels.kit import actions, csvfile, shell
from apps.panels.kit.actions import Action
from apps.panels.kit.columns import Column, Empty, Filter, Link, SavedView
from apps.panels.kit.shaping import ShapedList

PER_PAGE = (25, 50, 100)
MAX_SEARCH = 100


@dataclass(frozen=True)
class Asked:
    """The state of the list as the URL says it; anything unknown counts as not said."""

    view: str
    search: str
    sort: str
    filters: dict[str, str]
    page: str
    per: int


class CountedPaginator(Paginator):  # type: ignore[type-arg]
    """Pages of rows whose number is already known."""

    def __init__(self, rows: Any, per: int, count: int) -> None:
        self.known = count
        super().__init__(rows, per)

    @property
    def count(self) -> int:
        return self.known


class Resource(ShapedList):
    """The list of one noun. Its rows are `model`'s, visible to the actor and inside the place;
    there is no way to leave that scope: counts, options, CSV and bulk buttons start from it."""

    model: ClassVar[type[Model]]
    columns: ClassVar[Sequence[Column]]
    search: ClassVar[Sequence[str]] = ()
    search_hint: ClassVar[Any] = ""
    filters: ClassVar[Sequence[Filter]] = ()
    views: ClassVar[Sequence[SavedView]] = ()
    actions: ClassVar[Sequence[Action]] = ()
    links: ClassVar[Sequence[Link]] = ()
    order: ClassVar[str] = "-pk"  # a column's name, with a minus when descending, or an ORM path
    empty: ClassVar[Empty] = Empty("")
    live: ClassVar[str] = ""  # event types (prefixes) that refresh the list, e.g. "instance."
    intro: ClassVar[Any] = ""
    card: ClassVar[str] = ""  # the template of one row: the list is shown as cards, as a table on request

    def rows(self) -> QuerySet[Any]:
        """Override only to start from a selector; it must be scoped to actor and place."""
        manager: Any = self.model._default_manager
        return self.place.narrow(manager.visible_to(self.actor))

    def refine(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """What the cells need besides: select_related, prefetch_related, annotations."""
        return rows

    def complete(self, rows: Sequence[Any]) -> None:
        """What the cells of these rows need and one statement cannot bring."""

    # ------------------------------------------------------------ requests

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.GET.get("format") == "csv":
            found = self.sorted(self.refine(self.found()))
            return csvfile.stream(self, self.shown, found, complete=self.complete)
        if self.is_partial:
            return self.render_part("kit/_list.html", self.context())
        return self.render("kit/list.html", self.context())

    def post(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        return self.shape() or actions.perform(self, self.actions)

    def targets(self, ids: Sequence[str]) -> list[Any]:
        """The rows with these ids, as far as they are in scope."""
        field = self.model._meta.pk
        assert field is not None
        wanted = [value for value in ids[:500] if _is_id(field, value)]
        return list(self.rows().filter(pk__in=wanted))

    @property
    def is_partial(self) -> bool:
        return self.request.headers.get("HX-Target") == "list"

    # ------------------------------------------------------------ state

    @cached_property
    def asked(self) -> Asked:
        query = self.request.GET
        sort = query.get("sort", "")
        known = {view.name for view in self.views}
        per = query.get("per", "")
        return Asked(
            view=query.get("view", "") if query.get("view", "") in known else "",
            search=query.get("q", "").strip()[:MAX_SEARCH].replace("\x00", ""),
            sort=sort if self._column(sort) else "",
            filters={name: query[name] for name in self.choices if self._is_option(name, query.get(name))},
            page=query.get("page", "1"),
            per=int(per) if per in {str(size) for size in PER_PAGE} else PER_PAGE[0],
        )

    @cached_property
    def choices(self) -> dict[str, list[tuple[str, Any]]]:
        return {each.name: each.choices(self) for each in self.filters}

    def _is_option(self, name: str, value: str | None) -> bool:
        return bool(value) and any(value == known for known, _label in self.choices[name])

    def _column(self, sort: str) -> Column | None:
        name = sort.removeprefix("-")
        return next((one for one in self.columns if one.sort and one.name == name), None)

    # ------------------------------------------------------------ rows

    def found(self, *, without: str = "") -> QuerySet[Any]:
        """The rows that view, search and filters leave."""
        return self.rows().filter(self._where(without))

    def _where(self, without: str = "") -> Q:
        where = self._searched()
        if without != "view" and self.views:
            where &= self.saved_view.condition(self)
        for each in self.filters:
            if each.name in self.asked.filters and each.name != without:
                where &= each.condition(self.asked.filters[each.name])
        return where

    @cached_property
    def saved_view(self) -> SavedView:
        """The tab that is open: the named one, else the first."""
        return next((view for view in self.views if view.name == self.asked.view), self.views[0])

    def _searched(self) -> Q:
        where = Q()
        for path in self.search if self.asked.search else ():
            where |= Q(**{path if "__" in path else f"{path}__icontains": self.asked.search})
        return where

    def sorted(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        wanted = self.asked.sort or self.order
        sign, name = ("-", wanted[1:]) if wanted.startswith("-") else ("", wanted)
        column = self._column(name)
        paths = (name,) if column is None else (column.sort,) if isinstance(column.sort, str) else column.sort
        return rows.order_by(*(sign + path for path in paths), "pk")

    @cached_property
    def counts(self) -> dict[str, int]:
        """Every number the page shows, in one statement."""
        asked: dict[str, Any] = {"found": Count("pk", filter=self._where(), distinct=True)}
        others = self._where(without="view")
        for view in self.views:
            asked[f"view_{view.name}"] = Count("pk", filter=others & view.condition(self), distinct=True)
        for each in self.filters:
            others = self._where(without=each.name)
            for at, (value, _label) in enumerate(self.choices[each.name]):
                key = f"filter_{each.name}_{at}"
                asked[key] = Count("pk", filter=others & each.condition(value), distinct=True)
        return {key: value or 0 for key, value in self.rows().order_by().aggregate(**asked).items()}

    @cached_property
    def page(self) -> "Page[Any]":
        rows = self.sorted(self.refine(self.found()))
        return CountedPaginator(rows, self.asked.per, self.counts["found"]).get_page(self.asked.page)

    # ------------------------------------------------------------ what the template shows

    def context(self) -> dict[str, Any]:
        return {
            "list": self,
            "rows": SimpleLazyObject(self.table),
            "empty_link": next(iter(shell.links(self, [self.empty.link] if self.empty.link else [])), None),
            "is_filtered": bool(self.asked.search or self.asked.filters or self.asked.view),
        }

    @property
    def is_cards(self) -> bool:
        return bool(self.card) and self.request.GET.get("as") != "table"

    @property
    def looks(self) -> list[tuple[str, str, bool]]:
        """The two ways to look at it, where there are two."""
        if not self.card:
            return []
        ways = ((None, _("Cards"), self.is_cards), ("table", _("Table"), not self.is_cards))
        return [(str(label), self.query(**{"as": name}), on) for name, label, on in ways]

    def table(self) -> list[dict[str, Any]]:
        self.complete(list(self.page.object_list))
        return [
            {
                "row": row,
                "name": actions.name_of(row),
                "cells": [(column.css, column.value(row, self)) for column in self.shown],
                "buttons": actions.buttons(self, [one for one in self.actions if one.row], row),
            }
            for row in self.page.object_list
        ]

    def query(self, **changes: Any) -> str:
        """This list's address with some of its state changed; None removes a part, and a new choice
        starts at the first page."""
        query = self.request.GET.copy()
        query.pop("page", None)
        query.pop("format", None)
        for name, value in changes.items():
            query.pop(name, None)
            if value not in (None, ""):
                query[name] = str(value)
        text = query.urlencode()
        return f"{self.request.path}?{text}" if text else self.request.path

    @property
    def heads(self) -> list[dict[str, Any]]:
        wanted = self.asked.sort or self.order
        return [_head(self, column, wanted) for column in self.shown]

    @property
    def tabs(self) -> list[dict[str, Any]]:
        return [
            {
                "label": view.label,
                "url": self.query(view=view.name if at else None),
                "n": self.counts[f"view_{view.name}"],
                "on": view is self.saved_view and self.own_view is None,
            }
            for at, view in enumerate(self.views)
        ]

    @property
    def chips(self) -> list[dict[str, Any]]:
        return [self._chip(each) for each in self.filters]

    def _chip(self, each: Filter) -> dict[str, Any]:
        value = self.asked.filters.get(each.name, "")
        options = [
            {
                "label": label,
                "url": self.query(**{each.name: option}),
                "on": option == value,
                "n": self.counts[f"filter_{each.name}_{at}"],
            }
            for at, (option, label) in enumerate(self.choices[each.name])
        ]
        chosen = next((one["label"] for one in options if one["on"]), "")
        clear = self.query(**{each.name: None})
        return {"name": each.name, "label": each.label, "chosen": chosen, "options": options, "clear": clear}

    @property
    def bulk(self) -> list[Action]:
        return [one for one in self.actions if one.bulk and self.can(one.permission)]

    @property
    def per_links(self) -> list[tuple[int, str, bool]]:
        return [
            (size, self.query(per=None if size == PER_PAGE[0] else size), size == self.asked.per)
            for size in PER_PAGE
        ]

    @property
    def pager(self) -> dict[str, str]:
        page = self.page
        return {
            "previous": self.query(page=page.previous_page_number()) if page.has_previous() else "",
            "next": self.query(page=page.next_page_number()) if page.has_next() else "",
        }

    @property
    def csv_url(self) -> str:
        return self.query(format="csv")

    @property
    def query_without_search(self) -> str:
        return self.query(q=None)

    @property
    def clear_url(self) -> str:
        return str(self.request.path)


def _head(view: Resource, column: Column, wanted: str) -> dict[str, Any]:
    is_sorted = wanted.removeprefix("-") == column.name
    descending = wanted.startswith("-")
    turned = f"-{column.name}" if is_sorted and not descending else column.name
    return {
        "label": column.label,
        "css": column.css,
        "url": view.query(sort=turned) if column.sort else "",
        "aria": ("descending" if descending else "ascending") if is_sorted else "",
    }


def _is_id(field: Any, value: str) -> bool:
    try:
        field.to_python(value)
    except (ValueError, ValidationError):
        return False
    return True
