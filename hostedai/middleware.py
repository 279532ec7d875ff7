"""What every request passes: an id, a content policy, and who is asking."""

import re
from collections.abc import Callable
from dataclasses import replace

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse

from apps.core import tenancy
from apps.core.actor import ANONYMOUS
from apps.core.ids import new_id
from apps.teams.selectors.actors import actor_for_user

Next = Callable[[HttpRequest], HttpResponse]

_SAFE_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


class RequestIdMiddleware:
    """Takes the caller's `X-Request-Id` when it is harmless, makes one when not, and echoes it."""

    def __init__(self, get_response: Next):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-Id", "")
        request.request_id = given if _SAFE_ID.fullmatch(given) else new_id("req")
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request.request_id)
        response = self.get_response(request)
        response.headers["X-Request-Id"] = request.request_id
        return response


class ContentSecurityPolicyMiddleware:
    """The strict policy for every answer that has not set its own."""

    def __init__(self, get_response: Next):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault(
            "Content-Security-Policy", settings.CONTENT_SECURITY_POLICY
        )
        return response


class ActorMiddleware:
    """Sets `request.actor` and opens row security just as far as the actor reaches.

    API keys are resolved later, by the API's own authentication; the scope is closed here for both.
    """

    def __init__(self, get_response: Next):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.actor = self._actor(request)
        try:
            return self.get_response(request)
        finally:
            tenancy.leave()

    def _actor(self, request: HttpRequest) -> object:
        if not request.user.is_authenticated:
            return ANONYMOUS
        actor = replace(
            actor_for_user(request.user),
            ip=request.META.get("REMOTE_ADDR"),
            request_id=request.request_id,
        )
        tenancy.enter(actor)
        return actor
