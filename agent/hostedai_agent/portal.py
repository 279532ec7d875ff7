"""The two calls to the control plane: register once, then heartbeats."""

import json
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hostedai_agent import __version__, web
from hostedai_agent.engines import Engine

REGISTER = "/admin/nodes/register"
HEARTBEAT = "/admin/nodes/{id}/heartbeat"


class Refused(Exception):
    """The portal does not accept the token or the credential (any more)."""


class Failed(Exception):
    """The portal does not answer, or cannot at the moment; try again."""


class NotTaken(Exception):
    """The portal does not take the report as it is; sending it again would not help."""


@dataclass(frozen=True, slots=True)
class Registered:
    node_id: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the portal answers to a heartbeat."""

    acknowledged: int
    interval: float = 10.0
    lease: float = 240.0
    rotate: bool = False
    accepted: str = ""  # SHA-256 of the successor that it now knows
    want_facts: bool = False
    engines: list[Engine] = field(default_factory=list)


class Portal:
    """Speaks for one host; dials out only."""

    def __init__(self, url: str, *, ca_file: Path | None = None, allow_http: bool = False) -> None:
        self.url = url.rstrip("/")
        if not self.url.startswith("https://") and not (allow_http or web.is_loopback(self.url)):
            raise NotTaken("The portal's address begins with https:// (or say allow_http).")
        self._tls = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)

    def register(self, token: str, body: dict[str, Any]) -> Registered:
        """Redeem the token; the same token with the same credential again is the same registration."""
        given = self._post(REGISTER, token, body)
        return Registered(str(given["node_id"]), str(given.get("name", "")))

    def heartbeat(self, node_id: str, credential: str, body: dict[str, Any]) -> Reply:
        given = self._post(HEARTBEAT.format(id=node_id), credential, body)
        return Reply(
            acknowledged=int(given["acknowledged"]),
            interval=float(given.get("interval_seconds", 10)),
            lease=float(given.get("lease_seconds", 240)),
            rotate=bool(given.get("rotate")),
            accepted=str(given.get("accepted_credential") or ""),
            want_facts=bool(given.get("want_facts")),
            engines=[
                Engine(str(one["name"]), str(one["url"]), str(one.get("key", "")))
                for one in given.get("engines", ())
            ],
        )

    def _post(self, path: str, secret: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {
            "Authorization": f"Bearer {secret}",
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": f"hostedai-agent/{__version__}",
        }
        try:
            answer = web.request(
                "POST", self.url + path, body=json.dumps(body).encode(), headers=headers, tls=self._tls
            )
        except web.Unreachable as error:
            raise Failed(str(error)) from error
        if answer.status in (401, 403, 404) and _is_problem(answer):
            raise Refused(_problem(answer))
        if answer.status in (400, 413, 415, 422):
            raise NotTaken(_problem(answer))
        try:
            given = json.loads(answer.body)
        except ValueError as error:
            raise Failed(f"status {answer.status}, no JSON") from error
        if not answer.is_good or not isinstance(given, dict):
            raise Failed(_problem(answer))
        return given


def _is_problem(answer: web.Answer) -> bool:
    """Whether it is the portal that says so, and not something that stands before it."""
    try:
        return str(json.loads(answer.body)["type"]).startswith("/problems/")
    except (ValueError, KeyError, TypeError):
        return False


def _problem(answer: web.Answer) -> str:
    """What a problem document says, or the status."""
    try:
        given = json.loads(answer.body)
        return f"{answer.status} {given['code']}: {given['detail']}"
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status}"
