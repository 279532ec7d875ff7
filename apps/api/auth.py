"""Who calls: the holder of an API key, a person with a session, or a node's agent."""

from dataclasses import replace
from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from apps.core.actor import Actor
from apps.nodes.errors import UnknownAgent
from apps.nodes.models import EnrolmentToken, NodeCredential
from apps.nodes.selectors import actor_for_agent, credential_of, token_of
from apps.teams.errors import BadKey
from apps.teams.selectors.actors import actor_for_key


class KeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer hai_live_…`. A header that is there must be good; nothing else is tried."""

    def authenticate(self, request: Request) -> tuple[str, Actor] | None:
        header = self.read(request)
        if header is None:
            return None
        try:
            actor = actor_for_key(header, request.META.get("REMOTE_ADDR"))
        except BadKey as error:
            raise AuthenticationFailed(error.message, error.reason) from error
        return actor.label, replace(actor, request_id=getattr(request._request, "request_id", None))

    def read(self, request: Request) -> str | None:
        """The key as it was given, or None."""
        header = request.headers.get("Authorization", "")
        if not header:
            return None
        kind, _space, secret = header.partition(" ")
        if kind.lower() != "bearer":
            raise AuthenticationFailed(_("Send `Authorization: Bearer <API key>`."), "bad_key")
        return secret.strip()

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="hostedai"'


class AdminKeyAuthentication(KeyAuthentication):
    """Staff keys may also come as `X-Admin-Token`."""

    def read(self, request: Request) -> str | None:
        return request.headers.get("X-Admin-Token") or super().read(request)


class BrowserAuthentication(SessionAuthentication):
    """The panels' session; what changes anything needs the CSRF token too."""

    def authenticate(self, request: Request) -> tuple[Any, Actor] | None:
        actor = getattr(request._request, "actor", None)
        if not isinstance(actor, Actor) or actor.user_id is None:
            return None
        self.enforce_csrf(request)
        return actor.label, actor


class AgentAuthentication(BaseAuthentication):
    """`Authorization: Bearer …` with what a host was given or made; the row it belongs to is the user."""

    def find(self, secret: str) -> EnrolmentToken | NodeCredential:
        """The row of the secret; raises UnknownAgent."""
        raise NotImplementedError

    def authenticate(self, request: Request) -> tuple[Any, Actor] | None:
        kind, _space, secret = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return None
        try:
            found = self.find(secret.strip())
        except UnknownAgent as error:
            raise AuthenticationFailed(error.message, error.reason) from error
        actor = actor_for_agent(found.node, ip=request.META.get("REMOTE_ADDR"))
        return found, replace(actor, request_id=getattr(request._request, "request_id", None))

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="hostedai nodes"'


class EnrolmentAuthentication(AgentAuthentication):
    """A one-time token: `hai_enrol_…`."""

    def find(self, secret: str) -> EnrolmentToken:
        return token_of(secret)


class NodeAuthentication(AgentAuthentication):
    """A node's credential: `hai_node_…`."""

    def find(self, secret: str) -> NodeCredential:
        return credential_of(secret)


class _EnrolmentScheme(OpenApiAuthenticationExtension):
    target_class = "apps.api.auth.EnrolmentAuthentication"
    name = "enrolmentToken"
    secret = "hai_enrol_…"  # noqa: S105 (its form)

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": self.secret}


class _NodeScheme(_EnrolmentScheme):
    target_class = "apps.api.auth.NodeAuthentication"
    name = "nodeCredential"
    secret = "hai_node_…"  # noqa: S105 (its form)


class _KeyScheme(OpenApiAuthenticationExtension):
    target_class = "apps.api.auth.KeyAuthentication"
    match_subclasses = True
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "hai_live_…"}


class _BrowserScheme(OpenApiAuthenticationExtension):
    target_class = "apps.api.auth.BrowserAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}
