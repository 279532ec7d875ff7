"""What all requests of a worker share."""

import asyncio
import os
import time
from itertools import count
from typing import TYPE_CHECKING
from uuid import UUID

from apps.core.uuids import encode, new_uuid
from apps.gateway.flights import Spool
from apps.gateway.messages import AnyMessage
from apps.gateway.plane.limits import Limiter
from apps.gateway.plane.link import Link
from apps.gateway.plane.metrics import Metrics
from apps.gateway.plane.redis import Redis
from apps.gateway.plane.tables import Key, Tables
from apps.gateway.plane.tellers import Teller

if TYPE_CHECKING:
    from apps.gateway.plane.client import Client
    from apps.gateway.plane.exchange import Exchange

_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [one + other for one in _LETTERS for other in _LETTERS]
_LOW = 50


class Ids:
    """Ids of requests, UUIDv7: what is the same for a second is spelled once, the rest is a counter."""

    def __init__(self) -> None:
        self.turn()

    def turn(self) -> None:
        """A new second."""
        fresh = new_uuid().int
        self._high = fresh >> _LOW
        self._spelled = "rcp_" + encode("x", UUID(int=self._high << _LOW))[2:18]
        self._low = int.from_bytes(os.urandom(6), "big") << 1

    def next(self) -> tuple[bytes, str]:
        """The id, and how a receipt is called that has it."""
        self._low = low = (self._low + 1) & (1 << _LOW) - 1
        spelled = (
            f"{self._spelled}{_PAIRS[low >> 40]}{_PAIRS[low >> 30 & 1023]}{_PAIRS[low >> 20 & 1023]}"
            f"{_PAIRS[low >> 10 & 1023]}{_PAIRS[low & 1023]}"
        )
        return (self._high << _LOW | low).to_bytes(16, "big"), spelled


class Plane:
    """The worker's state."""

    def __init__(self, loop: asyncio.AbstractEventLoop, redis: Redis, spool: Spool, link: Link):
        self.loop, self.redis, self.spool, self.link = loop, redis, spool, link
        self.tables = Tables()
        self.limiter = Limiter(redis)
        self.metrics = Metrics()
        self.ids = Ids()
        self.clients: set[Client] = set()
        self.exchanges: set[Exchange] = set()
        self.tellers: dict[str, Teller] = {}
        self.receipts: dict[int, Exchange] = {}
        self.region = ""
        self.peer_token = b""
        self.head_seconds = 10.0
        self.is_stopping = False
        self._numbers = count(1)

    def next_number(self) -> int:
        return next(self._numbers)

    def send(self, message: AnyMessage) -> bool:
        """To the steward; False when there is none."""
        return self.link.send(message)

    def teller_of(self, key: Key) -> Teller:
        teller = key.teller
        if teller is None:
            row = key.row
            teller = self.tellers.get(row.id)
            if teller is None:
                teller = self.tellers[row.id] = Teller((row.team_id, row.workspace_id, row.id), self.send)
            key.teller = teller
        return teller

    @staticmethod
    def now_us() -> int:
        return time.time_ns() // 1000
