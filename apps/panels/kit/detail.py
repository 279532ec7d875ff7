"""The page of one object: header, tabs, buttons. It is found in the actor's scope or it does not exist."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.http import Http404, HttpResponse, HttpResponseBase
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core.permissions import Permission
from apps.panels.kit import actions
from apps.panels.kit.actions import Action
from apps.panels.kit.blocks import Block
from apps.panels.kit.columns import Link
from apps.panels.kit.page import scripts_of
from apps.panels.kit.views import PanelView


@dataclass(frozen=True)
class Tab:
    """`name` is in the URL and names the methods `main_<name>` and `aside_<name>` that give its blocks."""

    name: str
    label: Any
    permission: Permission | None = None
    url: str = ""  # a route of its own instead, given `pk`


class Detail(PanelView):
    """One object. Give `model`, `tabs` and for each tab `main_<tab>()`, perhaps `aside_<tab>()`."""

    model: ClassVar[type[Model]]
    tabs: ClassVar[Sequence[Tab]] = (Tab("overview", gettext_lazy("Overview")),)
    actions: ClassVar[Sequence[Action]] = ()
    links: ClassVar[Sequence[Link]] = ()
    live: ClassVar[str] = ""  # event types (prefixes) that refresh the page
    tab: ClassVar[str] = ""  # set by a view that has a route of its own for one tab

    def rows(self) -> QuerySet[Any]:
        """Override only to start from a selector; it must be scoped to actor and place."""
        manager: Any = self.model._default_manager
        return self.place.narrow(manager.visible_to(self.actor))

    def refine(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows

    @cached_property
    def object(self) -> Any:
        try:
            found = self.refine(self.rows()).filter(pk=self.pk).first()
        except (ValueError, ValidationError):
            found = None
        if found is None:
            raise Http404(_("There is no such page."))
        return found

    # ------------------------------------------------------------ what a page says

    def heading(self) -> Any:
        return actions.name_of(self.object)

    def status(self) -> Any:
        """The state beside the name, e.g. `cells.status(self.object.state)`."""
        return ""

    def meta(self) -> Sequence[Any]:
        """A line of short facts under the name."""
        return ()

    def top(self) -> Sequence[Block]:
        """Blocks above the tabs: notes about the object's condition."""
        return ()

    # ------------------------------------------------------------ requests

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        context = self.context()
        if self.request.headers.get("HX-Target") == "detail":
            return self.render_part("kit/_detail.html", context)
        return self.render("kit/detail.html", context)

    def post(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        return actions.perform(self, self.actions)

    def targets(self, ids: Sequence[str]) -> list[Any]:
        return [self.object] if list(ids) in ([], [str(self.object.pk)]) else []

    def context(self) -> dict[str, Any]:
        shown = self.open_tab
        columns = [list(self.top()), self._blocks("main", shown), self._blocks("aside", shown)]
        found = actions.buttons(self, self.actions, self.object)
        return {
            "object": self.object,
            "title": self.heading(),
            "top": columns[0],
            "main": columns[1],
            "aside": columns[2],
            "scripts": scripts_of(*columns),
            "buttons": [one for one in found if not one["action"].menu],
            "more": [one for one in found if one["action"].menu],
            "tab_links": self._tab_links(),
        }

    @property
    def open_tab(self) -> str:
        asked = self.tab or self.request.GET.get("tab", "")
        return next((one.name for one in self.shown_tabs if one.name == asked), self.shown_tabs[0].name)

    @cached_property
    def shown_tabs(self) -> list[Tab]:
        return [one for one in self.tabs if one.permission is None or self.can(one.permission)]

    def _blocks(self, column: str, tab: str) -> list[Block]:
        build = getattr(self, f"{column}_{tab}", None)
        return list(build()) if build else []

    def _tab_links(self) -> list[tuple[Any, str, bool]]:
        home = self.home()
        links = []
        for at, one in enumerate(self.shown_tabs):
            address = (
                self.url(one.url, pk=self.pk) if one.url else home if at == 0 else f"{home}?tab={one.name}"
            )
            links.append((one.label, address, one.name == self.open_tab))
        return links

    def home(self) -> str:
        """The object's own address."""
        return str(self.request.path)

    def back(self) -> str:
        return str(self.request.get_full_path())
