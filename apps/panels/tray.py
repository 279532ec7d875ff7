"""The task tray: what is under way in this place and what has just ended, on every page of a panel."""

from datetime import timedelta
from typing import Any

from django.db.models import Case, IntegerField, Q, QuerySet, Value, When
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import NoReverseMatch
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.generic import View

from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.core.permissions import Permission
from apps.operations import selectors
from apps.operations.models import Operation
from apps.operations.states import OPEN, State
from apps.panels import words
from apps.panels.kit.places import Place, place_of_query

RECENT = timedelta(minutes=15)
MOST = 8
LOOKS = {State.SUCCEEDED: "ok", State.FAILED: "bad"}


@method_decorator(never_cache, name="dispatch")
class Tasks(View):
    """The tray's content; a place that is not the caller's is not there."""

    def get(self, request: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            return HttpResponse(status=403)
        place = place_of_query(request)
        if not request.actor.can(Permission.OPERATION_READ, place.scope):
            return HttpResponse(status=403)
        shown = [_shown(one, place, request.actor) for one in _recent(place, request.actor)]
        context = {"tasks": shown, "all": _address(place, "activity" if place.team else "operations")}
        return render(request, "kit/tasks.html", context)


def _recent(place: Place, actor: Actor) -> QuerySet[Operation]:
    """What is under way first, then what ended lately."""
    rows = place.narrow(selectors.list_operations(actor=actor))
    wanted = Q(state__in=sorted(OPEN)) | Q(finished_at__gt=db_now() - RECENT)
    is_over = Case(When(state__in=sorted(OPEN), then=Value(0)), default=Value(1), output_field=IntegerField())
    found: QuerySet[Operation] = rows.filter(wanted).order_by(is_over, "-created_at", "-pk")[:MOST]
    return found


def _shown(one: Operation, place: Place, actor: Actor) -> dict[str, Any]:
    return {
        "id": one.pk,
        "name": f"{words.kind(one.kind)} {one.target_name}",
        "is_open": one.is_open,
        "is_mine": one.actor_label == actor.label,
        "look": LOOKS.get(State(one.state), "info" if one.is_open else "off"),
        "state": one.get_state_display(),
        "progress": one.progress,
        "since": one.finished_at or one.created_at,
        "note": one.error_message[:120],
        "url": _address(place, "operation", pk=one.pk),
        "said": _("%(what)s %(name)s: %(state)s")
        % {"what": words.kind(one.kind), "name": one.target_name, "state": one.get_state_display().lower()},
    }


def _address(place: Place, name: str, **kwargs: Any) -> str:
    try:
        return place.url(name, **kwargs)
    except NoReverseMatch:
        return ""
