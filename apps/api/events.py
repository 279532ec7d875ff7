"""What happened, as all three APIs show it: a page of the past, or a stream of what comes."""

from typing import Any

import django_filters
from django.http import StreamingHttpResponse
from django.utils.translation import gettext as _
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from apps.api.base import ApiViewSet, Call, narrow
from apps.api.fields import RowOut
from apps.core.actor import Actor, Scope
from apps.core.errors import Invalid
from apps.core.permissions import Permission
from apps.operations import selectors
from apps.operations.models import Event
from apps.operations.specs import Position
from apps.operations.streams import Holder, Watch, follow, key_holder, session_holder


class EventFilters(django_filters.FilterSet):
    subject = django_filters.CharFilter()
    type = django_filters.CharFilter()


class EventOut(RowOut):
    """One thing that happened; `seq` grows, `data` depends on the type."""

    class Meta:
        model = Event
        fields = ("id", "seq", "type", "subject", "team_id", "region_id", "at", "data")


class StreamRenderer(JSONRenderer):
    """Lets a caller ask for `text/event-stream`; refusals are still problems."""

    media_type = "text/event-stream"
    format = "sse"


class EventActions(ApiViewSet, abstract=True):
    """What happened. Ask for `text/event-stream` and it goes on as server-sent events."""

    filters = EventFilters
    renderer_classes = (JSONRenderer, StreamRenderer)
    calls = {"list": Call(Permission.EVENT_READ, EventOut, summary="List or follow events")}

    def list(self, request: Request) -> Any:
        """Newest first; a workspace's key sees what is that workspace's. With `Accept: text/event-stream`:
        from `Last-Event-ID` on, or from now."""
        if not isinstance(request.accepted_renderer, StreamRenderer):
            return self.page(selectors.list_events(actor=self.actor))
        return stream(
            Watch(holder=self._holder(request), subject=request.query_params.get("subject")),
            request.headers.get("Last-Event-ID"),
        )

    def _holder(self, request: Request) -> Holder:
        """Asks again and again whether the caller may still look, in this scope only."""
        caller, scope = self.actor, self.scope
        if caller.key_id:
            known = key_holder(_secret(request), caller.ip)
        else:
            known = session_holder(str(request._request.session.session_key))
        return lambda: _still(known(), scope)


def stream(watch: Watch, last_event_id: str | None) -> StreamingHttpResponse:
    """The answer that goes on."""
    position = Position.parse(last_event_id) if last_event_id else None
    if last_event_id and position is None:
        raise Invalid(_("This is no event id."), field="Last-Event-ID", code="invalid_event_id")
    answer = StreamingHttpResponse(follow(watch, position), content_type="text/event-stream")
    answer.headers["Cache-Control"] = "no-cache"
    answer.headers["X-Accel-Buffering"] = "no"
    return answer


def _secret(request: Request) -> str:
    given = request.headers.get("X-Admin-Token") or request.headers["Authorization"].partition(" ")[2]
    return str(given).strip()


def _still(caller: Actor | None, scope: Scope) -> Actor | None:
    actor = narrow(caller, scope) if caller else None
    return actor if actor and actor.can(Permission.EVENT_READ, scope) else None
