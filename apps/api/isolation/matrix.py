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
from apps.core import tenancy

REFUSED = frozenset({401, 403, 404})
# Rows that any request may touch without changing anything of anybody's: when a key or session was last used.
_WRITTEN = (
    "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_stat_xact_user_tables"
    " WHERE relname NOT IN ('teams_apikey', 'django_session', 'usersessions_usersession')"
)
_VOLATILE = re.compile(
    r'req_[0-9a-z]{26}|name="csrfmiddlewaretoken" value="[^"]*"|"[A-Za-z0-9]{64}"|nonce="[^"]*"'
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, without what differs from request to request; `wrote` counts touched rows."""

    status: int
    text: str
    wrote: int

    @property
    def is_refusal(self) -> bool:
        return self.status in REFUSED


@dataclass(frozen=True, slots=True)
class Finding:
    """A hole: who, where, and what happened."""

    principal: str
    route: str
    what: str

    def __str__(self) -> str:
        return f"{self.principal}: {self.route}: {self.what}"


class Matrix:
    """The cells for one world. `secrets` are texts that only the other side may read."""

    def __init__(self, world: World, *, only_rows: bool = False):
        self.world = world
        self.only_rows = only_rows
        self.asked = 0
        self._ids: dict[tuple[str, specimens.Owner], str | None] = {}

    def run(self, who: Iterable[Principal], where: Iterable[Route]) -> Iterator[Finding]:
        """Every cell; yields what is wrong."""
        known = list(where)
        for principal in who:
            for route in known:
                if principal.browses or route.face == "api":
                    yield from self._cell(principal, route)

    def _cell(self, principal: Principal, route: Route) -> Iterator[Finding]:
        answers = {
            name: self._ask(principal, route, values) for name, values in self._targets(principal, route)
        }
        for name, what in self._faults(principal, route, answers):
            yield Finding(principal.name, f"{route} ({name})", what)

    def _faults(
        self, principal: Principal, route: Route, answers: dict[str, Answer]
    ) -> Iterator[tuple[str, str]]:
        own = answers.get("own")
        for name, answer in answers.items():
            if answer.status >= 500 and not (answer.status == 503 and name == "own"):
                yield name, f"failed with {answer.status}"
            if leak := self._leak(principal, route, answer):
                yield name, f"tells {leak!r}"
            if answer.wrote and (name != "own" or answer.is_refusal):
                yield name, f"wrote {answer.wrote} rows although it answered {answer.status}"
            if (
                name != "own"
                and answer.status < 400
                and answer.status not in {301, 302}
                and "missing" in answers
            ):
                yield name, f"answered {answer.status}"
        for one, other in (("foreign", "missing"), ("foreign place", "missing place")):
            if one in answers and other in answers and not _same(answers[one], answers[other]):
                yield one, f"{_short(answers[one])} but {_short(answers[other])} when there is nothing"
        if own and not self.only_rows:
            yield from self._permission_faults(principal, route, own)

    def _permission_faults(
        self, principal: Principal, route: Route, own: Answer
    ) -> Iterator[tuple[str, str]]:
        if principal.dead:
            if route.face == "api" and own.status != 401:
                yield "own", f"answered {own.status} to nobody"
        elif not self._may(principal, route):
            if own.status not in REFUSED and not (route.face == "panel" and own.status == 302):
                yield "own", f"answered {own.status} without the permission"
        elif own.is_refusal and not self._may_miss(principal, route):
            yield "own", f"refused ({own.status}) although permitted: {own.text[:200]}"

    def _may(self, principal: Principal, route: Route) -> bool:
        """Whether the principal's grants open the route on things of its own."""
        if route.scope_kind == "person":
            return True
        return route.scope_kind == principal.kind and (
            route.permission is None or route.permission in principal.permissions
        )

    def _may_miss(self, principal: Principal, route: Route) -> bool:
        """Where a refusal proves nothing: there is nothing of one's own, or more is needed."""
        if route.is_writing:
            return True
        has_target = bool(set(route.variables) - {"team", "workspace", "region"})
        return has_target and (principal.workspace_bound or self._own_id(principal, route) is None)

    # ------------------------------------------------------------ what is asked for

    def _targets(self, principal: Principal, route: Route) -> Iterator[tuple[str, dict[str, str]]]:
        """The values of the address's variables, by what they stand for."""
        place = self._place(principal, route)
        prefix = self.prefix_of(route)
        names = [one for one in route.variables if one not in {"team", "workspace", "region"}]
        if not names:
            yield "own", place
        else:
            own, foreign = self._own_id(principal, route), self._foreign_id(principal, route)
            missing = specimens.missing(prefix or "x")
            rest = {one: specimens.missing("x") for one in names[1:]}
            yield "own", {**place, **rest, names[0]: own or missing}
            if foreign:
                yield "foreign", {**place, **rest, names[0]: foreign}
                yield "missing", {**place, **rest, names[0]: missing}
        yield from self._places(principal, route, place, names)

    def _places(
        self, principal: Principal, route: Route, place: dict[str, str], names: list[str]
    ) -> Iterator[tuple[str, dict[str, str]]]:
        """The same address in a place of others, and in one that is nowhere."""
        if not place or principal.dead:
            return
        foreign = self._place(principal, route, other=True)
        if foreign == place:
            return
        prefix = self.prefix_of(route) or "x"
        ids = {one: self._foreign_id(principal, route) or specimens.missing(prefix) for one in names}
        yield "foreign place", {**foreign, **ids}
        yield "missing place", {**dict.fromkeys(foreign, specimens.NOWHERE), **ids}

    def _place(self, principal: Principal, route: Route, *, other: bool = False) -> dict[str, str]:
        owner = principal.others if other else principal.home
        place: dict[str, str] = {}
        if "team" in route.variables:
            team = owner.team or (self.world.theirs if other else self.world.ours)
            place = {"team": team.slug, "workspace": team.workspaces.order_by("created_at").first().slug}
        if "region" in route.variables:
            region = owner.region or (self.world.there if other else self.world.here)
            place["region"] = region.slug
        return place

    def prefix_of(self, route: Route) -> str:
        """The prefix of the ids that the route's address takes."""
        if route.face == "api":
            return str(route.view.id_prefix)
        model = getattr(route.view, "model", None)
        return str(getattr(model._meta.pk, "prefix", "")) if model else ""

    def _own_id(self, principal: Principal, route: Route) -> str | None:
        owner = principal.home
        if not (owner.team or owner.region or owner.user):
            owner = specimens.Owner(self.world.ours, self.world.here)
        return self._id(route, owner)

    def _foreign_id(self, principal: Principal, route: Route) -> str | None:
        if principal.kind == "platform":
            return None
        if principal.workspace_bound and specimens.has_workspace(self.prefix_of(route)):
            return self._id(route, principal.home)
        return self._id(route, principal.others)

    def _id(self, route: Route, owner: specimens.Owner) -> str | None:
        key = (self.prefix_of(route), owner)
        if key not in self._ids:
            self._ids[key] = specimens.specimen(*key)
        return self._ids[key]

    # ------------------------------------------------------------ asking

    def _ask(self, principal: Principal, route: Route, values: dict[str, str]) -> Answer:
        """One request, undone afterwards."""
        self.asked += 1
        path = route.at(**values)
        if route.scope_kind == "team" and route.face == "api" and principal.browses and principal.home.team:
            path += f"?team={principal.home.team.slug}"
        with transaction.atomic():
            before = _written() if route.is_writing else 0
            response = self._send(principal, route, path)
            content = b"" if response.streaming else response.content
            wrote = _written() - before if route.is_writing else 0
            transaction.set_rollback(True)
        tenancy.leave()
        text = _VOLATILE.sub("", content.decode(errors="replace"))
        for value in sorted(values.values(), key=len, reverse=True):
            text = text.replace(value, "·")
        return Answer(response.status_code, text, wrote)

    def _send(self, principal: Principal, route: Route, path: str) -> Any:
        named: dict[str, Any] = {
            "headers": principal.headers,
            "secure": settings.SECURE_SSL_REDIRECT,
            "REMOTE_ADDR": principal.ip,
            "SERVER_NAME": next(iter(settings.ALLOWED_HOSTS), "testserver").lstrip("."),
        }
        if route.face == "panel":
            send = principal.client.post if route.is_writing else principal.client.get
            return send(path, **named)
        takes = route.view.calls[route.action].takes
        body = body_for(takes)
        data = b"" if body is None else json.dumps(body).encode()
        return principal.client.generic(route.method.upper(), path, data, "application/json", **named)

    def _leak(self, principal: Principal, route: Route, answer: Answer) -> str:
        """A text of the other side that stands in the answer, if any."""
        if principal.kind == "platform":
            return ""
        secret = [one for one in self._secrets(principal.others) if one in answer.text]
        return secret[0] if secret else ""

    def _secrets(self, owner: specimens.Owner) -> list[str]:
        if owner.team:
            return [str(owner.team.pk), owner.team.slug]
        return []


def _same(one: Answer, other: Answer) -> bool:
    return (one.status, one.text) == (other.status, other.text)


def _short(answer: Answer) -> str:
    return f"{answer.status} {answer.text[:160]!r}"


def _written() -> int:
    with connection.cursor() as cursor:
        cursor.execute(_WRITTEN)
        row = cursor.fetchone()
    return int(row[0])
