"""What every request passes: an id, a content policy, and who is asking."""

import re
import time
from collections.abc import Callable

import structlog
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _

from apps.core import tenancy
from apps.core.actor import ANONYMOUS, Actor
from apps.core.ids import new_id
from apps.teams.selectors.actors import actor_for_user
from apps.users.models import StaffRole

Next = Callable[[HttpRequest], HttpResponse]

_SAFE_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
# Where staff are sent on for their second factor, when they have none and need one.
_STAFF_DOORS = ("/admin", "/cluster")
_NO_SENSORS = "camera=(), microphone=(), geolocation=(), payment=(), usb=()"
_BEGAN, _SEEN = "began", "seen"


class RequestIdMiddleware:
    """Takes the caller's `X-Request-Id` when it is harmless, makes one when not, and echoes it."""

    def __init__(self, get_response: Next):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-Id", "")
        request.request_id = given if _SAFE_ID.fullmatch(given) else new_id("req")  # type: ignore[attr-defined]
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request.request_id)  # type: ignore[attr-defined]
        response = self.get_response(request)
        response.headers["X-Request-Id"] = request.request_id  # type: ignore[attr-defined]
        return response


class ContentSecurityPolicyMiddleware:
    """The strict policy for every answer that has not set its own."""

    def __init__(self, get_response: Next):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", settings.CONTENT_SECURITY_POLICY)
        response.headers.setdefault("Permissions-Policy", _NO_SENSORS)
        return response


class ActorMiddleware:
    """Sets `request.actor` and opens row security just as far as the actor reaches.

    What somebody who is signed in has seen stays in no cache, for whoever sits there next.
    API keys are resolved later, by the API's own authentication; the scope is closed here for both.
    What is streamed after the view has answered opens its own scope.
    """

    def __init__(self, get_response: Next):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            request.actor = actor = self._actor(request)  # type: ignore[attr-defined]
            if _awaits_second_factor(request, actor):
                messages.warning(request, _("Staff need a second factor. Set one up to go on."))
                return HttpResponseRedirect(reverse("mfa_index"))
            response = self.get_response(request)
            if actor.user_id:
                response.headers.setdefault("Cache-Control", "private, no-store")
            return response
        finally:
            tenancy.leave()

    def _actor(self, request: HttpRequest) -> Actor:
        user = request.user
        if not user.is_authenticated:
            return ANONYMOUS
        actor = actor_for_user(
            user,
            ip=request.META.get("REMOTE_ADDR"),
            request_id=request.request_id,  # type: ignore[attr-defined]
        )
        if _is_over(request, actor):
            logout(request)
            messages.info(request, _("You were signed out after a while without activity."))
            tenancy.leave()
            return ANONYMOUS
        return actor


def _is_over(request: HttpRequest, actor: Actor) -> bool:
    """Whether the session has been idle or alive for too long; if not, note once a minute that it is used."""
    now, session = time.time(), request.session
    is_staff = actor.is_staff or bool(actor.ids("region"))
    idle, longest = settings.STAFF_SESSION_LIMITS if is_staff else settings.SESSION_LIMITS
    began, seen = session.get(_BEGAN, now), session.get(_SEEN, now)
    if now - seen > idle or now - began > longest:
        return True
    if _BEGAN not in session or now - seen > settings.SESSION_NOTED_EVERY:
        session[_BEGAN], session[_SEEN] = began, now
        UserSession.objects.filter(session_key=session.session_key).update(last_seen_at=Now())
    return False


def _awaits_second_factor(request: HttpRequest, actor: Actor) -> bool:
    """Whether the person stands before a staff panel with a role that waits for a second factor."""
    return (
        settings.STAFF_MFA_REQUIRED
        and actor.kind == "user"
        and request.path.startswith(_STAFF_DOORS)
        and not actor.is_staff
        and not actor.ids("region")
        and StaffRole.objects.filter(user_id=actor.user_id).exists()
    )
