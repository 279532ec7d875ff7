"""What all requests of a worker share, and what they and their connections are to one another."""

import asyncio
import os
import time
from itertools import count
from typing import Protocol
from uuid import UUID

from apps.core.uuids import encode, new_uuid
from apps.gateway.flights import Spool
from apps.gateway.messages import AnyMessage
from apps.gateway.plane.limits import Limiter
from apps.gateway.plane.link import Link
from apps.gateway.plane.metrics import Metrics
from apps.gateway.plane.redis import Redis
from apps.gateway.plane.refusals import Refusal
from apps.gateway.plane.sender import Sender
from apps.gateway.plane.tables import Key, Tables
from apps.gateway.plane.tellers import Purse, Teller

_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [(one + other).encode() for one in _LETTERS for other in _LETTERS]
_LOW = 50


class Ids:
    """Ids of requests, UUIDv7: what is the same for a second is spelled once, the rest is a counter."""

    def __init__(self) -> None:
        self.turn()

    def turn(self) -> None:
        """A new second."""
        fresh = new_uuid().int
        self._high = fresh >> _LOW
        self._second = b"rcp_" + encode("x", UUID(int=self._high << _LOW))[2:18].encode()
        self._low = int.from_bytes(os.urandom(6), "big") << 1
        self._spell()

    def _spell(self) -> None:
        low = self._low
        pairs = [_PAIRS[low >> bits & 1023] for bits in (40, 30, 20, 10)]
        self._spelled = self._second + b"".join(pairs)

    def next(self) -> tuple[bytes, bytes]:
        """The id, and how a receipt is called that has it."""
        self._low = low = (self._low + 1) & (1 << _LOW) - 1
        last = low & 1023
        if not last:
            self._spell()
        return (self._high << _LOW | low).to_bytes(16, "big"), self._spelled + _PAIRS[last]


class Caller(Protocol):
    """A caller's connection."""

    is_paused: bool

    @property
    def ip(self) -> str:
        """Where it comes from."""

    def write(self, data: bytes) -> None:
        """Send it."""

    def finished(self, *, must_close: bool = False) -> None:
        """The request is answered."""

    def look(self, now: float) -> None:
        """Once a second."""

    def retire(self) -> None:
        """The worker stops."""


class Request(Protocol):
    """A request under way."""

    is_over: bool

    def answer(self, status: int, body: bytes) -> None:
        """Answer without an engine."""

    def refuse(self, refused: Refusal, *, must_close: bool = False) -> None:
        """Answer that it is not answered."""

    def abandon(self) -> None:
        """Nobody waits for it any more."""

    def look(self, now: float) -> None:
        """Once a second."""

    def review(self) -> None:
        """The tables have changed."""


class Plane:
    """The worker's state."""

    def __init__(self, loop: asyncio.AbstractEventLoop, redis: Redis, spool: Spool, link: Link):
        self.loop, self.redis, self.spool, self.link = loop, redis, spool, link
        self.sender = Sender(loop)
        self.tables = Tables()
        self.limiter = Limiter(redis)
        self.metrics = Metrics()
        self.ids = Ids()
        self.clients: set[Caller] = set()
        self.exchanges: set[Request] = set()
        self.tellers: dict[Purse, Teller] = {}
        self.receipts: dict[int, tuple[str, Request]] = {}  # wanted, by whom
        self.peer_token = b""
        self.trusted_proxies = 0
        self.head_seconds = 10.0
        self.is_stopping = False
        self._numbers = count(1)

    def next_number(self) -> int:
        return next(self._numbers)

    def send(self, message: AnyMessage) -> bool:
        """To the steward; False when there is none."""
        return self.link.send(message)

    def teller_of(self, key: Key) -> Teller:
        teller = self.tellers.get(key.purse)
        if teller is None:
            teller = self.tellers[key.purse] = Teller(key.purse, self.send)
        return teller

    def tidy(self, *, idle_seconds: float) -> None:
        """Give back money that nobody uses, and forget whose it was."""
        now = time.monotonic()
        for teller in list(self.tellers.values()):
            teller.tidy(now, idle_seconds=idle_seconds)
            if teller.is_idle:
                del self.tellers[teller.purse]
