"""Ask everything as everybody, and find whoever is told, or changes, what is none of their business."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from apps.api.isolation import specimens
from apps.api.isolation.bodies import body_for
from apps.api.isolation.principals import Principal, World
from apps.api.isolation.routes import Route
from apps.api.isolation.specimens import Owner
from apps.api.isolation.targets import Targets, Values
from apps.core import tenancy

REFUSED = frozenset({401, 403, 404})
REDIRECT = 302
ALIKE = (("foreign", "missing"), ("foreign child", "missing child"), ("foreign place", "missing place"))
# Rows that any request may touch without changing anything of anybody's: when a key or session was last used.
_WRITTEN = (
    "SELECT coalesce(sum(pg_stat_get_xact_tuples_inserted(oid) + pg_stat_get_xact_tuples_updated(oid)"
    " + pg_stat_get_xact_tuples_deleted(oid)), 0) FROM pg_class"
    " WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
    " AND relname NOT IN ('teams_apikey', 'django_session', 'usersessions_usersession')"
)
_VOLATILE = re.compile(r'req_[0-9a-z]{26}|"[A-Za-z0-9]{64}"|nonce="[^"]*"')


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, without what differs from request to request; `wrote` counts touched rows."""

    status: int
    text: str
    wrote: int

    def differs(self, other: "Answer") -> str:
        """How it is unlike the answer to what is not there."""
        pairs = zip(self.text, other.text, strict=False)
        at = next((place for place, (mine, its) in enumerate(pairs) if mine != its), 0)
        parts = [f"{one.status} …{one.text[max(0, at - 40) : at + 80]!r}" for one in (self, other)]
        return " but ".join(parts) + " when there is nothing"

    def __str__(self) -> str:
        return f"{self.status} {self.text[:160]!r}"


@dataclass(frozen=True, slots=True)
class Finding:
    """A hole: who, where, and what happened."""

    principal: str
    route: str
    what: str

    def __str__(self) -> str:
        return f"{self.principal}: {self.route}: {self.what}"


class Matrix:
    """The cells for one world.

    `guarded` asks only for foreign rows of these tables and leaves permissions aside. Unless `thorough`,
    what the gate of a face decides, whatever the route, is asked once per view: those it turns away, and
    places that are another's.
    """

    def __init__(self, world: World, *, guarded: frozenset[str] | None = None, thorough: bool = False):
        self.targets = Targets(world, guarded)
        self.thorough = thorough
        self.asked = 0
        self._seen: set[tuple[str, Any, str]] = set()

    def run(self, who: Iterable[Principal], where: Iterable[Route]) -> Iterator[Finding]:
        """Every cell; yields what is wrong."""
        known = list(where)
        for principal in who:
            for route in known:
                if self._is_worth_asking(principal, route):
                    yield from self._cell(principal, route)

    def _is_worth_asking(self, principal: Principal, route: Route) -> bool:
        if not (principal.browses or principal.dead if route.face == "panel" else principal.calls):
            return False
        if self.thorough or not (principal.dead or not self.targets.is_at_home(principal, route)):
            return True
        if self.targets.guarded is not None:
            return False
        return self._is_first(principal, route, "gate")

    def _is_first(self, principal: Principal, route: Route, what: str) -> bool:
        """Whether this is the principal's first time at the view; always so when thorough."""
        seen = (principal.name, route.view, what)
        is_new = seen not in self._seen
        self._seen.add(seen)
        return is_new or self.thorough

    def _cell(self, principal: Principal, route: Route) -> Iterator[Finding]:
        answers = {
            name: self._ask(principal, route, values) for name, values in self.targets.of(principal, route)
        }
        faults = [
            fault for name, answer in answers.items() for fault in self._faults(principal, name, answer)
        ]
        for one, other in ALIKE:
            if one in answers and (answers[one].status, answers[one].text) != (
                answers[other].status,
                answers[other].text,
            ):
                faults.append((one, answers[one].differs(answers[other])))
        if self.targets.guarded is None:
            faults += [("own", what) for what in self._permission_faults(principal, route, answers["own"])]
        for name, what in faults:
            yield Finding(principal.name, f"{route} ({name})", what)

    def _faults(self, principal: Principal, name: str, answer: Answer) -> Iterator[tuple[str, str]]:
        """What no answer may be."""
        if answer.status >= 500 and not (answer.status == 503 and name == "own"):
            yield name, f"failed with {answer.status}"
        if name != "own" and answer.status < 400 and answer.status != REDIRECT:
            yield name, f"answered {answer.status}"
        if answer.wrote and (name != "own" or answer.status in REFUSED):
            yield name, f"wrote {answer.wrote} rows although it answered {answer.status}"
        for secret in _secrets(principal):
            if secret in answer.text:
                yield name, f"tells {secret!r}"

    def _permission_faults(self, principal: Principal, route: Route, own: Answer) -> Iterator[str]:
        is_refused = own.status in REFUSED or (route.face == "panel" and own.status == REDIRECT)
        if principal.dead:
            if own.status != 401 if route.face == "api" else not is_refused:
                yield f"answered {own.status} to nobody"
        elif not self._may(principal, route):
            if not is_refused:
                yield f"answered {own.status} without the permission"
        elif own.status in REFUSED and not self._may_miss(principal, route):
            yield f"refused although permitted: {own}"

    def _may(self, principal: Principal, route: Route) -> bool:
        """Whether the principal's grants open the route on things of its own."""
        if not self.targets.is_at_home(principal, route):
            return False
        return route.permission is None or route.permission in principal.permissions

    def _may_miss(self, principal: Principal, route: Route) -> bool:
        """Where a refusal proves nothing: there is nothing of one's own, or more is needed."""
        return route.is_writing or bool(principal.workspace) or not self.targets.has_own(principal, route)

    # ------------------------------------------------------------ asking

    def _ask(self, principal: Principal, route: Route, values: Values) -> Answer:
        """One request, undone afterwards."""
        self.asked += 1
        path = route.at(**values)
        if route.face == "api" and route.scope_kind == "team" and principal.browses and principal.home.team:
            path += f"?team={principal.home.team.slug}"
        with transaction.atomic():
            before = _written() if route.is_writing else 0
            response = self._send(principal, route, path)
            content = b"" if response.streaming else response.content
            wrote = _written() - before if route.is_writing else 0
            transaction.set_rollback(True)
        tenancy.leave()
        text = _VOLATILE.sub("", content.decode(errors="replace")).replace(path, "·")
        for (
            value
        ) in values.values():  # ids, wherever they are repeated; names of places stand in addresses only
            text = text.replace(value, "·") if specimens.is_id(value) else text
        return Answer(response.status_code, text, wrote)

    def _send(self, principal: Principal, route: Route, path: str) -> Any:
        named: dict[str, Any] = {
            "headers": principal.headers,
            "secure": settings.SECURE_SSL_REDIRECT,
            "REMOTE_ADDR": principal.ip,
            "SERVER_NAME": next(iter(settings.ALLOWED_HOSTS), "testserver").lstrip("."),
        }
        principal.client.cookies.pop("messages", None)  # what an undone request had to say
        if route.face == "panel":
            send = principal.client.post if route.is_writing else principal.client.get
            return send(path, **named)
        body = body_for(route.view.calls[route.action].takes)
        data = b"" if body is None else json.dumps(body).encode()
        return principal.client.generic(route.method.upper(), path, data, "application/json", **named)


def _secrets(principal: Principal) -> list[str]:
    """Texts of the other side that no answer may hold."""
    return [] if principal.kind == "platform" else _names(principal.others)


def _names(owner: Owner) -> list[str]:
    return [str(owner.team.pk), owner.team.slug] if owner.team else []


def _written() -> int:
    with connection.cursor() as cursor:
        cursor.execute(_WRITTEN)
        row = cursor.fetchone()
    return int(row[0])
