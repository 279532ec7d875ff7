"""Live news for pages: `/events` tells that something changed; the page then asks for its own part anew.

So the stream carries no content, and what a page shows always passes the page's own permissions.
"""

import json
from collections.abc import AsyncIterator
from typing import Any

from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.views.generic import View

from apps.operations.models import Event
from apps.operations.specs import Position
from apps.operations.streams import Watch, follow, session_holder
from apps.panels.kit.places import Place, place_of_query


class Live(View):
    """One stream per page and place. `after` or `Last-Event-ID` resumes; `subject` narrows to one thing."""

    def get(self, request: Any) -> HttpResponse | StreamingHttpResponse:
        if not request.user.is_authenticated:
            return HttpResponse(status=403)
        try:
            place = place_of_query(request)
        except Http404:
            return HttpResponse(status=404)
        position = Position.parse(request.headers.get("Last-Event-ID") or request.GET.get("after", ""))
        watch = watch_of(place, request.session.session_key, request.GET.get("subject") or None)
        response = StreamingHttpResponse(news(watch, position), content_type="text/event-stream")
        response.headers["Cache-Control"] = "no-cache, no-transform"
        response.headers["X-Accel-Buffering"] = "no"
        return response


def watch_of(place: Place, session_key: str, subject: str | None) -> Watch:
    """What a page of this place wants to hear of, for as long as the session lasts."""
    return Watch(
        session_holder(session_key),
        subject=subject,
        region_id=place.region.pk if place.region else None,
        team_id=place.team.pk if place.team else None,
    )


async def news(watch: Watch, position: Position | None) -> AsyncIterator[bytes]:
    """A greeting, by which the page knows that it is live, and then what changes."""
    yield b"event: hello\ndata: {}\n\n"
    async for chunk in follow(watch, position, changed):
        yield chunk


def changed(event: Event) -> bytes:
    """That something happened, and to what."""
    said = json.dumps({"type": event.type, "subject": event.subject})
    return f"id: {event.txid}-{event.seq}\nevent: changed\ndata: {said}\n\n".encode()
