"""A caller's connection: requests in, in order; answers out, in the same order."""

import asyncio
from collections import deque
from typing import Any, cast

from apps.gateway.http import MOST_BODY, MOST_BODY_OF_STRANGERS, Head, Malformed, RequestParser
from apps.gateway.plane import wire
from apps.gateway.plane.exchange import Exchange
from apps.gateway.plane.plane import Plane
from apps.gateway.plane.refusals import refusal
from apps.gateway.plane.sender import send_at_once

BODY_SECONDS = 120.0
IDLE_SECONDS = 75.0


class Client(asyncio.Protocol):
    """One connection."""

    __slots__ = (
        *("_closing", "_exchange", "_is_still", "_parser", "_queue", "_since", "_transport", "_waits_for"),
        *("is_paused", "last_words", "plane"),
    )

    def __init__(self, plane: Plane):
        self.plane = plane
        self._parser: RequestParser | None = RequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._queue: deque[tuple[Head, bytes, bool]] = deque()
        self._closing = False  # no request is taken after the one under way
        self._is_still = False  # the caller is not read from
        self.is_paused = False  # the caller does not take what is written
        self.last_words = b""
        self._waits_for = ""  # at the last look, and since when; 0 when something has ended meanwhile
        self._since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = made = cast(asyncio.Transport, transport)
        send_at_once(made)
        self.plane.clients.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport, self._parser = None, None
        self.plane.clients.discard(self)
        self._queue.clear()
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.abandon()

    def data_received(self, data: bytes) -> None:
        parser = self._parser
        if parser is None:
            return
        try:
            parser.feed(data)
        except Malformed as error:
            self.end(wire.refuse_malformed(error))
            self.plane.metrics.refused(error.code)

    def end(self, words: bytes) -> None:
        """Take nothing more; these are the last words, said after what is under way."""
        self._parser = None
        self._closing = True
        self.last_words = words
        if self._transport is not None:
            self._transport.pause_reading()
            self._is_still = True
        if self._exchange is None and not self._queue:
            self._close()

    # From the parser.

    def on_head(self, head: Head) -> int:
        is_known = self.plane.tables.key_of(head.authorization) is not None
        most = MOST_BODY if is_known else MOST_BODY_OF_STRANGERS
        if head.expects and head.length <= most and self._exchange is None:
            self.write(wire.CONTINUE)
        return most

    def on_request(self, head: Head, body: bytes, *, keep_alive: bool) -> None:
        if self._exchange is not None:
            self._queue.append((head, body, keep_alive))
            if not self._is_still and self._transport is not None:
                self._is_still = True
                self._transport.pause_reading()
            return
        if not keep_alive:
            self._closing = True
        self._exchange = exchange = Exchange(self.plane, self, head, body)
        exchange.begin()

    # From the exchange.

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self.plane.sender.put(Client, self._transport, data)

    def finished(self, *, must_close: bool = False) -> None:
        """The answer is written; what waits comes next."""
        self._exchange = None
        self._since = 0.0
        if must_close:
            self.last_words = b""  # nothing more is said
            self._close()
        elif self._closing and not self._queue:
            self._close()
        elif self._queue:
            # Not at once: many refusals in a row must not pile up on the stack.
            self.plane.loop.call_soon(self._next)
        elif self._is_still and self._transport is not None and not self._closing:
            self._is_still = False
            self._transport.resume_reading()

    def _next(self) -> None:
        if self._exchange is None and self._queue and self._transport is not None:
            head, body, keep_alive = self._queue.popleft()
            self.on_request(head, body, keep_alive=keep_alive)

    def _close(self) -> None:
        transport = self._transport
        if transport is not None:
            if self.last_words:
                self.write(self.last_words)
                self.last_words = b""
            self.plane.sender.send()
            transport.close()

    @property
    def ip(self) -> str:
        """The caller's address as the socket has it."""
        peer: Any = self._transport.get_extra_info("peername") if self._transport is not None else None
        return str(peer[0]) if peer else ""

    # Back-pressure.

    def pause_writing(self) -> None:
        self.is_paused = True
        if self._exchange is not None:
            self._exchange.pause()

    def resume_writing(self) -> None:
        self.is_paused = False
        if self._exchange is not None:
            self._exchange.resume()

    # Looked at once a second.

    def look(self, now: float) -> None:
        """End a connection that takes too long to say what it wants."""
        if self._exchange is not None or self._queue:
            return
        waits_for = self._parser.waits_for if self._parser is not None else ""
        patience = {"head": self.plane.head_seconds, "body": BODY_SECONDS}.get(waits_for, IDLE_SECONDS)
        if waits_for != self._waits_for or not self._since:
            self._waits_for, self._since = waits_for, now
        if now - self._since <= patience:
            return
        if waits_for:
            self.end(wire.refuse(refusal("too_slow"), wire.CLOSE))
        else:
            self._closing = True
            self._close()

    def retire(self) -> None:
        """The worker stops: end after the request under way."""
        self._closing = True
        if self._exchange is None and not self._queue:
            self._close()
