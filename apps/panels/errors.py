"""Pages for requests that came to nothing: inside the shell for who is signed in, at the door for others."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import structlog
from django.db import connection
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import resolve
from django.utils.translation import gettext_lazy as _
from django.views import defaults

from apps.billing.models import Wallet
from apps.core import tenancy
from apps.core.actor import Actor
from apps.panels.kit import shell
from apps.panels.kit.places import PARTS, Place, bare_place, panels_of, place_in

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Words:
    """What a failed request's page says."""

    status: int
    title: Any
    text: Any
    icon: str = "circle-help"


MISSING = Words(
    404, _("There is no such page"), _("It may have been removed, or it belongs to somebody else.")
)
REFUSED = Words(
    403,
    _("This was refused"),
    _("You may not do this here. If the page was open for long, load it again and repeat."),
    "shield",
)
BROKEN = Words(
    500,
    _("Something broke on our side"),
    _("The error has been recorded. Nothing is charged for a request that failed."),
    "triangle-alert",
)


@dataclass(frozen=True)
class _Frame:
    """As much of a page as the shell asks for."""

    request: Any
    place: Place
    nav: str = "none"

    @property
    def actor(self) -> Actor:
        found: Actor = self.request.actor
        return found

    @cached_property
    def wallet(self) -> Wallet | None:
        return shell.wallet_of(self.place, self.actor)

    def can(self, permission: Any) -> bool:
        return self.actor.can(permission, self.place.scope)


def not_found(request: Any, exception: Exception) -> HttpResponse:
    """The same page for what is missing and for what is somebody else's."""
    return _inside(request, MISSING) or defaults.page_not_found(request, exception)


def refused(request: Any, exception: Exception) -> HttpResponse:
    """What one may not do."""
    return _inside(request, REFUSED) or defaults.permission_denied(request, exception)


def broken(request: Any) -> HttpResponse:
    """A mistake of ours; whatever broke the page may break its frame too."""
    try:
        return _inside(request, BROKEN) or defaults.server_error(request)
    except Exception:  # the outermost place there is
        log.exception("error_page_failed")
        return defaults.server_error(request)


def _inside(request: Any, words: Words) -> HttpResponse | None:
    """The page in the shell; None for who is signed out.

    Under ASGI Django asks for it in another thread than the view's: the connection there knows no actor.
    """
    actor = getattr(request, "actor", None)
    if actor is None or not request.user.is_authenticated:
        return None
    is_ours = connection.connection is None
    try:
        with tenancy.as_actor(actor):
            return _rendered(request, words)
    finally:
        if is_ours:
            connection.close()


def _rendered(request: Any, words: Words) -> HttpResponse | None:
    place = _place(request)
    if place is None:
        return None
    frame = _Frame(request, place)
    context = {"title": words.title, "crumbs": [], "view": frame, **shell.context(frame), "words": words}
    context["request_id"] = getattr(request, "request_id", "")
    return render(request, "kit/error.html", context, status=words.status)


def _place(request: Any) -> Place | None:
    """The place that the address names, else the one the person was at last or may open first."""
    panel, *rest = request.path.strip("/").split("/")
    names = PARTS.get(panel, ())
    bare = bare_place(request.actor)
    try:
        return place_in(bare, panel, request.actor, dict(zip(names, [*rest, "", ""], strict=False)))
    except Http404:
        return _first_place(bare, request)


def _first_place(bare: Place, request: Any) -> Place | None:
    for panel, _name, _line, url in panels_of(bare, request.actor, request.COOKIES):
        return place_in(bare, panel, request.actor, resolve(url).kwargs)
    return None
