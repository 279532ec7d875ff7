"""Somebody to call the APIs."""

import json
from typing import Any

from django.test import Client

from apps.teams.models import Team
from apps.teams.selectors.actors import actor_for_user
from apps.teams.services import create_api_key
from apps.teams.specs import KeyWish
from apps.users.models import User
from tests.factories.teams import key_of


class Caller:
    """Speaks JSON to the APIs, with a key, a session or nothing."""

    def __init__(self, secret: str | None = None, client: Client | None = None, **environ: str):
        self.client = client or Client(raise_request_exception=False)
        self.headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        self.environ = environ

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return self.client.generic(
            method, path, data, "application/json", headers={**self.headers, **named}, **self.environ
        )

    def get(self, path: str, **headers: str) -> Any:
        return self("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self("POST", path, body, **headers)

    def patch(self, path: str, body: Any = None, **headers: str) -> Any:
        return self("PATCH", path, body, **headers)

    def delete(self, path: str, **headers: str) -> Any:
        return self("DELETE", path, **headers)


def team_caller(team: Team, *scopes: str, **wish: Any) -> Caller:
    """A caller with a key of the team, by default with all its admin may do."""
    return Caller(key_of(team, *scopes, **wish).secret)


def session_caller(user: User) -> Caller:
    """A signed-in browser; the test client needs no CSRF token."""
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return Caller(client=client)


def staff_caller(user: User) -> Caller:
    """A caller with a key that may do all that its staff member may."""
    actor = actor_for_user(user)
    scopes = frozenset(str(permission) for held in actor.grants.values() for permission in held)
    return Caller(create_api_key(actor=actor, team=None, wish=KeyWish("staff", scopes)).secret)
