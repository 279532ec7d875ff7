"""Engines and the endpoints they serve: which of them takes the next request."""

import random
import time
import zlib
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any
from urllib.parse import urlsplit

from apps.gateway.messages import ReplicaRow, RouteRow
from apps.gateway.plane.providers import Provider

TROUBLE = frozenset({401, 403, 408, 425, 429})
THEIR_TROUBLE = TROUBLE | {402}  # what we owe them is not the caller's to know
FAILURES_IN_A_ROW = 5
WINDOW = 20
OPEN_SECONDS = 30.0
MOST_IDLE = 256
_EWMA = 0.2
_clock = time.monotonic


class Breaker:
    """Closed while an engine answers; open for a while after 5 failures in a row or half of the last 20; then
    one request at a time finds out whether it is well again."""

    __slots__ = ("_failed", "_last", "_probing", "on_open", "opened_at")

    def __init__(self) -> None:
        self._failed = 0
        self._last: deque[bool] = deque(maxlen=WINDOW)
        self.opened_at = 0.0
        self._probing = False
        self.on_open: Callable[[], None] | None = None

    @property
    def state(self) -> str:
        if not self.opened_at:
            return "closed"
        return "half open" if _clock() - self.opened_at >= OPEN_SECONDS else "open"

    def lets_through(self) -> bool:
        if not self.opened_at:
            return True
        return not self._probing and _clock() - self.opened_at >= OPEN_SECONDS

    def begin(self) -> None:
        """A request goes to the engine."""
        if self.opened_at:
            self._probing = True

    def succeed(self) -> None:
        self._failed = 0
        if self.opened_at:
            self.opened_at, self._probing = 0.0, False
            self._last.clear()
        self._last.append(True)

    def leave(self) -> None:
        """A request has gone before there was an answer: another may find out."""
        self._probing = False

    def fail(self, *, at_once: bool = False) -> None:
        """A request has failed there; at once when nothing else is to be expected of the others."""
        self._failed += 1
        self._last.append(False)
        self._probing = False
        half = len(self._last) == WINDOW and self._last.count(False) * 2 > WINDOW
        if at_once or self.opened_at or self._failed >= FAILURES_IN_A_ROW or half:
            was_closed = not self.opened_at
            self.opened_at = _clock()
            if was_closed and self.on_open is not None:
                self.on_open()


class Engine:
    """A replica: its address, connections that rest, and how it has been doing."""

    __slots__ = (
        *(
            "answers",
            "api_head",
            "base",
            "breaker",
            "has_spoken",
            "host",
            "idle",
            "is_retired",
            "key",
            "latency",
            "outstanding",
            "port",
        ),
        *("provider", "row", "spoke_at", "tls", "trouble", "turn"),
    )

    def __init__(self, row: ReplicaRow, key: bytes):
        self.row, self.key = row, key
        parts = urlsplit(row.url)
        self.tls = parts.scheme == "https"
        self.host = parts.hostname or "127.0.0.1"
        self.port = parts.port or (443 if self.tls else 80)
        self.base = parts.path.rstrip("/").encode()
        bearer = f"Authorization: Bearer {row.api_key}\r\n" if row.api_key else ""
        self.api_head = f"Host: {parts.netloc}\r\n{bearer}Content-Type: application/json\r\n".encode()
        self.provider: Provider | None = None
        self.trouble = TROUBLE  # statuses that are no answer to the caller's question: another is asked
        if row.provider is not None:
            self.provider = Provider(row.provider, row.api_key, tls=self.tls)
            self.trouble = THEIR_TROUBLE
            self.api_head += b"Accept: */*\r\nUser-Agent: hostedai\r\n"
        self.answers: dict[bytes, tuple[int, bytes]] = {}  # heads of whole answers: status and type
        self.idle: list[Any] = []
        self.outstanding = 0
        self.latency = 0.0
        self.turn = 0
        self.breaker = Breaker()
        self.is_retired = False
        self.has_spoken = False  # to anybody, since the last look
        self.spoke_at = _clock()

    def look(self, now: float) -> None:
        """Has it said anything since the last look, or does nobody wait for it?"""
        if self.has_spoken or not self.outstanding:
            self.has_spoken, self.spoke_at = False, now

    def takes(self) -> bool:
        return self.breaker.lets_through()

    def took(self, seconds: float) -> None:
        """How long it took to the first byte."""
        self.latency = seconds if not self.latency else self.latency + _EWMA * (seconds - self.latency)

    def retire(self) -> None:
        """It serves no more: what rests is closed, what runs is finished."""
        self.is_retired = True
        for connection in self.idle:
            connection.close()
        self.idle.clear()


class Route:
    """An endpoint while the worker runs."""

    __slots__ = (
        "_looked", "_owed", "_pick", "_weighty", "asked", "engines", "external", "first", "queue", "row",
        "seen_at", "tokens", "turns",
    )  # fmt: skip

    def __init__(self, row: RouteRow):
        self.row = row
        self.engines: list[Engine] = []
        self.external: frozenset[str] = frozenset()  # replicas that others run
        self._weighty: list[Engine] = []
        self.first: list[Engine] = []  # those that are asked as long as all of them are well
        self._pick: Policy = _least_outstanding
        self._owed: dict[int, int] = {}  # how far each weight is behind its share, or ahead
        self.queue: deque[Callable[[], None]] = deque()
        self.turns = count()
        self.tokens = self.asked = self._looked = 0
        self.seen_at = 0.0  # when somebody last had something of it, as far as was looked

    def become(self, row: RouteRow, engines: list[Engine], region: str) -> None:
        """What it is from now on, for a gateway in that region."""
        self.row, self.engines = row, engines
        self.external = frozenset(one.row.id for one in engines if one.provider is not None)
        # One that is alone is not left out for its weight.
        self._weighty = engines if len(engines) == 1 else [one for one in engines if one.row.weight > 0]
        self.first = _preferred(self._weighty, region)
        self._pick = _POLICIES.get(row.policy, _least_outstanding)
        weights = {one.row.weight for one in self._weighty}
        if len(weights) > 1:
            self._pick = partial(_in_shares, self._pick)
        if weights != self._owed.keys():
            self._owed = dict.fromkeys(weights, 0)
        self._serve_queue()

    def _serve_queue(self) -> None:
        """Whoever waits goes on when an engine takes requests."""
        if self.queue and self.takes():
            waiting, self.queue = self.queue, deque()
            for one in waiting:
                one()

    def look(self, now: float) -> None:
        """Has anybody asked since the last look, or does anybody wait?"""
        self._serve_queue()
        if self.asked != self._looked or self.outstanding or self.queue:
            self._looked, self.seen_at = self.asked, now

    def share(self, fit: list[Engine]) -> list[Engine]:
        """Those of one weight, whose turn it is: all of a weight together get their part, smoothly."""
        kinds: dict[int, list[Engine]] = {}
        for one in fit:
            kinds.setdefault(one.row.weight, []).append(one)
        owed, whole = self._owed, 0
        for weight, members in kinds.items():
            owed[weight] += weight * len(members)
            whole += weight * len(members)
        turn = max(kinds, key=owed.__getitem__)
        owed[turn] -= whole
        return kinds[turn]

    @property
    def outstanding(self) -> int:
        return sum(engine.outstanding for engine in self.engines)

    def takes(self) -> bool:
        """Whether any of its engines takes a request."""
        return any(engine.takes() for engine in self.engines)

    def pick(self, tried: frozenset[str], affinity: bytes, region: str) -> Engine | None:
        """The engine for the next request, none of those that were tried; None when there is none."""
        fit = self.first
        for one in fit:
            if one.breaker.opened_at or tried:
                able = [one for one in self._weighty if one.takes() and one.row.id not in tried]
                fit = _preferred(able, region)
                break
        return self._pick(self, fit, affinity) if fit else None


Policy = Callable[[Route, list[Engine], bytes], Engine]


def _preferred(engines: list[Engine], region: str) -> list[Engine]:
    """Those that stay rather than those that leave or are a fallback, and of them those nearby."""
    staying = [one for one in engines if not one.row.is_last] or engines
    near = [one for one in staying if one.row.region == region] if region else []
    return near or staying


def _in_shares(policy: Policy, route: Route, fit: list[Engine], affinity: bytes) -> Engine:
    """Weights first, as beside a canary, whose share is exact so; the policy chooses among those of one."""
    return policy(route, route.share(fit), affinity)


def _round_robin(_route: Route, fit: list[Engine], _affinity: bytes) -> Engine:
    """In turns, smoothly, also when some are left out meanwhile."""
    for one in fit:
        one.turn += 1
    best = max(fit, key=lambda one: one.turn)
    best.turn -= len(fit)
    return best


def _least_outstanding(route: Route, fit: list[Engine], _affinity: bytes) -> Engine:
    """The one with the fewest requests; in turns among equals."""
    best = fit[next(route.turns) % len(fit)]
    for one in fit:
        if one.outstanding < best.outstanding:
            best = one
    return best


def _least_latency(route: Route, fit: list[Engine], _affinity: bytes) -> Engine:
    """The quicker of two at random, each by how long it has taken and how many wait for it."""
    if len(fit) == 1:
        return fit[0]
    one, other = random.sample(fit, 2)
    return min(one, other, key=lambda it: (it.latency * (it.outstanding + 1), it.outstanding))


def _prefix_affinity(route: Route, fit: list[Engine], affinity: bytes) -> Engine:
    """The same engine for the same session or beginning of a prompt, so that its cache is warm; another when
    that one has twice as much to do as the rest."""
    best = max(fit, key=lambda one: zlib.crc32(affinity + one.key))
    fair = sum(one.outstanding for one in fit) / len(fit)
    return best if best.outstanding <= 2 * fair + 2 else _least_outstanding(route, fit, affinity)


_POLICIES: dict[str, Policy] = {
    "round_robin": _round_robin,
    "least_outstanding": _least_outstanding,
    "least_latency": _least_latency,
    "prefix_affinity": _prefix_affinity,
}
