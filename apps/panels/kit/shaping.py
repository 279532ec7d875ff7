"""How a person likes to see a list: which columns, and views of their own under names."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _

from apps.core.errors import DomainError
from apps.panels.kit.columns import Column
from apps.panels.kit.views import PanelView
from apps.users import selectors, services
from apps.users.models import SavedList

KEEP, FORGET = "keep-view", "forget-view"


class ShapedList(PanelView):
    """The part of a list that is about its looks. Like all its state, the hidden columns stand in the URL;
    what is kept under a name is such a URL."""

    columns: ClassVar[Sequence[Column]]

    def query(self, **changes: Any) -> str:
        raise NotImplementedError

    @cached_property
    def hidden(self) -> frozenset[str]:
        """The columns left out; the main one always stays."""
        asked = set(self.request.GET.get("hide", "").split(","))
        return frozenset(one.name for one in self.columns if one.name in asked and not one.main)

    @property
    def shown(self) -> list[Column]:
        return [one for one in self.columns if one.name not in self.hidden]

    @property
    def column_choices(self) -> list[dict[str, Any]]:
        """Each column that may be hidden, with the address that turns it on or off."""
        return [
            {
                "label": one.label,
                "on": one.name not in self.hidden,
                "url": self.query(hide=",".join(sorted(self.hidden ^ {one.name}))),
            }
            for one in self.columns
            if not one.main
        ]

    # ------------------------------------------------------------ views of one's own

    @cached_property
    def own_views(self) -> list[SavedList]:
        return list(selectors.saved_lists(self.actor, self._page))

    @cached_property
    def own_view(self) -> SavedList | None:
        """The view of one's own that is open."""
        return next((one for one in self.own_views if one.query == self.state), None)

    @property
    def state(self) -> str:
        """All that the URL says of the list but the page number."""
        return self.query().partition("?")[2]

    @property
    def own_tabs(self) -> list[dict[str, Any]]:
        path = self.request.path
        return [
            {"label": one.name, "url": f"{path}?{one.query}", "on": one is self.own_view}
            for one in self.own_views
        ]

    @property
    def _page(self) -> str:
        match = self.request.resolver_match
        return f"{self.panel}:{match.url_name if match else ''}"

    def shape(self) -> HttpResponse | None:
        """Keep or forget a view, when that is what was posted."""
        do, _colon, one = str(self.request.POST.get("do", "")).partition(":")
        try:
            if do == KEEP:
                name = str(self.request.POST.get("name", ""))
                services.save_list(actor=self.actor, page=self._page, name=name, query=self.state)
                messages.success(self.request, _("The view is kept, for you alone."))
                return HttpResponseRedirect(self.back())
            if do == FORGET:
                services.forget_list(actor=self.actor, page=self._page, list_id=one)
                return HttpResponseRedirect(self.request.path)
        except DomainError as error:
            return self.refuse(error)
        return None
