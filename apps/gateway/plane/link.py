"""The line to the steward: a socket that the worker was born with."""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import cast

from apps.gateway.messages import AnyMessage, Frames, pack

log = logging.getLogger(__name__)

Taken = Callable[[AnyMessage], None]


class Link(asyncio.Protocol):
    """Messages both ways; without a steward the worker goes on with what it has."""

    def __init__(self) -> None:
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self.taken: Taken | None = None
        self.lost: asyncio.Event = asyncio.Event()

    async def open(self, file: int) -> None:
        """Take over the socket of that number."""
        line = socket.socket(fileno=file)
        line.setblocking(False)
        await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=line)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        for message in self._frames.feed(data):
            if self.taken is not None:
                self._take(self.taken, message)

    def _take(self, taken: Taken, message: AnyMessage) -> None:
        """Without this line the worker ends: no message may break it."""
        try:
            taken(message)
        except Exception:
            log.exception("message_broke %s", type(message).__name__)

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        self.lost.set()

    def send(self, message: AnyMessage) -> bool:
        if self._transport is None:
            return False
        self._transport.write(pack(message))
        return True
