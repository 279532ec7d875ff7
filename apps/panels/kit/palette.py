"""What ⌘K finds: pages of the panel and objects in scope. Panels add their nouns to `SOURCES`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.generic import View as DjangoView

from apps.core.actor import Actor
from apps.core.permissions import Permission
from apps.panels.kit import nav
from apps.panels.kit.places import Place, place_of_query

LIMIT = 6


@dataclass(frozen=True)
class Hit:
    label: Any
    url: str
    icon: str
    note: Any = ""


@dataclass(frozen=True)
class Source:
    """Objects of one noun: `find(actor, place, text)` returns a short scoped list of hits."""

    label: Any
    permission: Permission
    find: Callable[[Actor, Place, str], Iterable[Hit]]


SOURCES: dict[str, list[Source]] = {"console": [], "admin": [], "cluster": []}


class Palette(DjangoView):
    """The options for what was typed; nothing for those who are not signed in."""

    def get(self, request: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            return HttpResponse(status=403)
        place = place_of_query(request)
        text = request.GET.get("q", "").strip()[:80].replace("\x00", "")
        context = {"groups": list(_groups(request.actor, place, text)), "q": text}
        return render(request, "kit/palette.html", context)


def _groups(actor: Actor, place: Place, text: str) -> Iterable[tuple[Any, list[Hit]]]:
    allowed = [source for source in SOURCES[place.panel] if actor.can(source.permission, place.scope)]
    for source in allowed if text else ():
        hits = list(source.find(actor, place, text))[:LIMIT]
        if hits:
            yield source.label, hits
    pages = [
        Hit(entry["label"], entry["url"], entry["icon"], label)
        for label, entries in nav.groups(place, actor, "")
        for entry in entries
        if text.casefold() in str(entry["label"]).casefold()
    ]
    if pages:
        yield _("Pages"), pages[:12]
