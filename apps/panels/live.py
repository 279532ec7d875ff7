"""Live news for pages: `/events` tells that something changed; the page then asks for its own part anew.

So the stream carries no content, and what a page shows always passes the page's own permissions.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.db import close_old_connections
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.utils.module_loading import import_string
from django.views.generic import View

from apps.core import tenancy
from apps.core.actor import Actor
from apps.core.errors import DomainError
from apps.operations.models import Event
from apps.operations.selectors import events_after, latest_seq
from apps.panels.kit.places import Place, place_of_query
from apps.teams.selectors.actors import actor_for_user
from apps.users.models import User

LOOK_EVERY = 0.7
HEARTBEAT_AT = 20  # looks
RENEWAL_AT = 6  # looks: a revoked role or session ends the stream within five seconds
LONGEST = 1200  # looks: then the page opens a new stream


class Live(View):
    """One stream per page and place. `after` or `Last-Event-ID` resumes; `subject` narrows to one thing."""

    def get(self, request: Any) -> HttpResponse | StreamingHttpResponse:
        if not request.user.is_authenticated:
            return HttpResponse(status=403)
        try:
            place = place_of_query(request)
        except Http404:
            return HttpResponse(status=404)
        after = _sequence(request.headers.get("Last-Event-ID") or request.GET.get("after"))
        news = _news(
            request.session.session_key, request.actor, place, request.GET.get("subject") or None, after
        )
        response = StreamingHttpResponse(news, content_type="text/event-stream")
        response.headers["Cache-Control"] = "no-cache, no-transform"
        response.headers["X-Accel-Buffering"] = "no"
        return response


async def _news(
    session_key: str, actor: Actor, place: Place, subject: str | None, after: int | None
) -> AsyncIterator[str]:
    renewed: Actor | None = actor
    # Not thread-sensitive: a few threads and connections serve all streams of the process.
    read = sync_to_async(_read, thread_sensitive=False)
    renew = sync_to_async(_renew, thread_sensitive=False)
    seq = await sync_to_async(_start, thread_sensitive=False)(actor) if after is None else after
    yield f"retry: 2000\nid: {seq}\nevent: hello\ndata: {{}}\n\n"
    for look in range(1, LONGEST):
        if look % RENEWAL_AT == 0:
            renewed = await renew(session_key, actor.user_id or "")
        if renewed is None or not renewed.grants.get(place.scope):
            return
        for event in await read(renewed, place, subject, seq):
            seq = event.seq
            if place.region is None or event.region_id == place.region.pk:
                said = json.dumps({"type": event.type, "subject": event.subject})
                yield f"id: {seq}\nevent: changed\ndata: {said}\n\n"
        if look % HEARTBEAT_AT == 0:
            yield ": still here\n\n"
        await asyncio.sleep(LOOK_EVERY)


def _start(actor: Actor) -> int:
    close_old_connections()
    with tenancy.as_actor(actor):
        return latest_seq()


def _read(actor: Actor, place: Place, subject: str | None, seq: int) -> list[Event]:
    close_old_connections()
    team_id = place.team.pk if place.team else None
    with tenancy.as_actor(actor):
        return events_after(actor=actor, seq=seq, team_id=team_id, subject=subject)


def _renew(session_key: str, user_id: str) -> Actor | None:
    """What the person may do now, or None once the session has ended."""
    close_old_connections()
    store = import_string(f"{settings.SESSION_ENGINE}.SessionStore")(session_key)
    if store.get(SESSION_KEY) is None:
        return None
    user = User.objects.filter(pk=user_id, is_active=True).first()
    try:
        return actor_for_user(user) if user else None
    except DomainError:
        return None


def _sequence(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) < 19 else None
