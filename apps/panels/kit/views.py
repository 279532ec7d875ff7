"""The base of every panel page: it names a panel and a permission, and works inside one place."""

from functools import cached_property
from typing import Any, ClassVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _
from django.views.generic import View as DjangoView

from apps.billing.models import Wallet
from apps.core import tenancy
from apps.core.actor import Actor
from apps.core.errors import DomainError, NotFound, NotPermitted
from apps.core.permissions import Permission
from apps.operations.specs import Position
from apps.panels.kit import nav, shell
from apps.panels.kit.places import ADDRESS_PARTS, Place, place_for, remember
from apps.panels.kit.requests import PanelRequest
from apps.teams.models import Team, Workspace

PANELS = ("console", "admin", "cluster")


class PanelView(DjangoView):
    """A page of one panel. A subclass that can be routed must say its `panel` and its `permission`."""

    request: PanelRequest
    panel: ClassVar[str]
    permission: ClassVar[Permission]
    title: ClassVar[Any] = ""
    nav: ClassVar[str] = ""  # the navigation entry to mark; the route's own name when empty
    place: Place

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        if getattr(cls, "panel", None) not in PANELS or not isinstance(
            getattr(cls, "permission", None), Permission
        ):
            raise TypeError(f"{cls.__name__} must name its panel and its permission.")
        return super().as_view(**initkwargs)

    @property
    def actor(self) -> Actor:
        return self.request.actor

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return _to_sign_in(request)
        address = {part: str(kwargs[part]) for part in ADDRESS_PARTS if part in kwargs}
        self.place = place_for(self.panel, self.actor, address)
        if not self.actor.can(self.permission, self.place.scope):
            raise Http404(_("There is no such page."))
        try:
            with timezone.override(_zone(request.user)):
                return super().dispatch(request, *args, **kwargs)
        except (NotFound, ValidationError) as error:  # a malformed id is the id of nothing
            raise Http404(_("There is no such page.")) from error
        except NotPermitted as error:
            if request.method == "POST":
                return self.refuse(error)
            raise Http404(error.message) from error

    def can(self, permission: Permission) -> bool:
        """Whether the actor holds a permission in this place."""
        return self.actor.can(permission, self.place.scope)

    def url(self, name: str, **kwargs: Any) -> str:
        """The address of another page of this panel."""
        return self.place.url(name, **kwargs)

    @property
    def team(self) -> Team:
        """The team whose page it is; for pages of the Console."""
        assert self.place.team is not None
        return self.place.team

    @property
    def workspace(self) -> Workspace:
        """The workspace whose page it is; for pages of the Console."""
        assert self.place.workspace is not None
        return self.place.workspace

    @property
    def since(self) -> str:
        """From where the live stream must tell what this page does not show yet."""
        return str(Position(tenancy.since(), 0))

    @cached_property
    def wallet(self) -> Wallet | None:
        """The team's wallet, for those who may see it: read once for the page and its frame."""
        return shell.wallet_of(self.place, self.actor)

    @cached_property
    def pk(self) -> str:
        return str(self.kwargs["pk"])

    def crumbs(self) -> list[tuple[str, str]]:
        """What stands above this page: (label, address)."""
        return []

    def frame(self) -> dict[str, Any]:
        """What the kit's own templates need of this page."""
        return {"links": shell.links(self, getattr(self, "links", ()))}

    def render(self, template: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
        """The template inside the shell."""
        frame = {"title": self.title, "crumbs": self.crumbs(), **shell.context(self), **self.frame()}
        response = render(self.request, template, {**frame, "view": self, **context}, status=status)
        patch_vary_headers(response, ["HX-Request", "HX-Target"])
        remember(response, self.place)
        return response

    def render_part(self, template: str, context: dict[str, Any]) -> HttpResponse:
        """One region of the page, for htmx: without the shell and its queries."""
        frame = {"place": self.place, "panel": self.place.panel, "view": self, **self.frame()}
        response = render(self.request, template, {**frame, **context})
        patch_vary_headers(response, ["HX-Request", "HX-Target"])
        return response

    def refuse(self, error: DomainError) -> HttpResponse:
        """A refusal that belongs to no form: a message on the page one came from."""
        messages.error(self.request, error.message)
        return HttpResponseRedirect(self.back())

    def back(self) -> str:
        """Where a button of this page leads after its service has answered."""
        return self.request.get_full_path()


class PanelHome(PanelView):
    """The bare address of a panel: on to the first page one may see there."""

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        for _label, entries in nav.groups(self.place, self.actor, ""):
            return HttpResponseRedirect(entries[0]["url"])
        raise Http404(_("There is no such page."))


def _to_sign_in(request: Any) -> HttpResponseBase:
    """To the sign-in page and back; a swap must not put that page into a list."""
    if request.headers.get("HX-Request") != "true":
        return redirect_to_login(request.get_full_path())
    came_from = urlsplit(request.headers.get("HX-Current-URL", "")).path or request.path
    response = HttpResponse(status=204)
    response.headers["HX-Redirect"] = redirect_to_login(came_from).headers["Location"]
    return response


def _zone(user: Any) -> ZoneInfo:
    try:
        return ZoneInfo(user.time_zone)
    except (ValueError, ZoneInfoNotFoundError):
        return ZoneInfo("UTC")
