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
TAKE_SECONDS = 60.0


class Client(asyncio.Protocol):
    """One connection."""

    __slots__ = (
        *("_closing", "_exchange", "_has_asked", "_is_still", "_parser", "_queue", "_since", "_transport"),
        *("_unsent", "_waits_for", "is_paused", "last_words", "plane"),
    )

    def __init__(self, plane: Plane):
        self.plane = plane
        self._parser: RequestParser | None = RequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._queue: deque[tuple[Head, bytes, bool]] = deque()
        self._has_asked = False  # in what is being read
        self._closing = False  # no request is taken after the one under way
        self._is_still = False  # the caller is not read from
        self.is_paused = False  # the caller does not take what is written
        self.last_words = b""
        self._waits_for = ""  # at the last look, and since when; 0 when something has ended meanwhile
        self._since = 0.0
        self._unsent = 0

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
        self._has_asked = False
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
        self._be_still()
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
        if self._has_asked or self._exchange is not None:
            # One a turn: whoever asks a thousand things at once neither holds up the others nor gets answers
            # before those that came first are taken.
            self._queue.append((head, body, keep_alive))
            self._be_still()
            if self._exchange is None and len(self._queue) == 1:
                self.plane.loop.call_soon(self._next)
            return
        self._has_asked = True
        self._begin(head, body, keep_alive=keep_alive)

    def _begin(self, head: Head, body: bytes, *, keep_alive: bool) -> None:
        if not keep_alive:
            self._closing = True
        self._exchange = exchange = Exchange(self.plane, self, head, body)
        exchange.begin()

    def _be_still(self) -> None:
        """Read no more for now."""
        if not self._is_still and self._transport is not None:
            self._is_still = True
            self._transport.pause_reading()

    def _listen(self) -> None:
        """Read on, when nobody waits and the caller takes what it is told."""
        may = self._parser is not None and not (self._queue or self.is_paused)
        if self._is_still and may and self._transport is not None:
            self._is_still = False
            self._transport.resume_reading()

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
            self._queue.clear()
            self._close()
        elif self._closing and not self._queue:
            self._close()
        elif self._queue:
            # Not at once: many refusals in a row must not pile up on the stack.
            self.plane.loop.call_soon(self._next)
        else:
            self._listen()

    def _next(self) -> None:
        if self._exchange is None and self._queue and not self.is_paused and self._transport is not None:
            head, body, keep_alive = self._queue.popleft()
            self._begin(head, body, keep_alive=keep_alive)

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
        self._be_still()
        if self._exchange is not None:
            self._exchange.pause()

    def resume_writing(self) -> None:
        self.is_paused = False
        self._since = 0.0
        if self._exchange is not None:
            self._exchange.resume()
        self._next()
        self._listen()

    # Looked at once a second.

    def look(self, now: float) -> None:
        """End a connection that takes too long to say what it wants, or to take what it is told."""
        transport = self._transport
        if self._exchange is not None or transport is None or (self._queue and not self.is_paused):
            return
        waits_for, unsent = self._parser.waits_for if self._parser is not None else "", 0
        if self.is_paused:
            waits_for, unsent = "caller", transport.get_write_buffer_size()
        patience = self._patience().get(waits_for, IDLE_SECONDS)
        if (waits_for, unsent) != (self._waits_for, self._unsent) or not self._since:
            self._waits_for, self._unsent, self._since = waits_for, unsent, now
        if now - self._since <= patience:
            return
        if self.is_paused:
            transport.abort()
        elif waits_for:
            self.end(wire.refuse(refusal("too_slow"), wire.CLOSE))
        else:
            self._closing = True
            self._close()

    def _patience(self) -> dict[str, float]:
        return {"head": self.plane.head_seconds, "body": BODY_SECONDS, "caller": TAKE_SECONDS}

    def retire(self) -> None:
        """The worker stops: end after the request under way."""
        self._closing = True
        if self._exchange is None and not self._queue:
            self._close()
