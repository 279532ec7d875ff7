"""A connection to an engine: one request at a time, kept for the next."""

import asyncio
import logging
import ssl
from typing import Protocol, cast

import httptools

from apps.gateway.http import MOST_HEAD, split_length
from apps.gateway.plane.engines import MOST_IDLE, Engine
from apps.gateway.plane.sender import Sender, send_at_once

CONNECT_SECONDS = 5.0
# Engines put the second into their heads, so these do not stay the same for long.
MOST_ANSWERS = 64
_tls = ssl.create_default_context()
log = logging.getLogger(__name__)


class User(Protocol):
    """Whose request it is."""

    def on_connected(self, connection: "Connection") -> None:
        """There is a connection for it."""

    def on_unreachable(self, engine: Engine) -> None:
        """There is none to be had."""

    def on_answer(self, status: int, kind: bytes) -> None:
        """The engine begins to answer."""

    def on_data(self, data: bytes) -> None:
        """A part of the answer's body."""

    def on_end(self) -> None:
        """The answer is complete; the connection is somebody else's now."""

    def on_lost(self, connection: "Connection", *, was_silent: bool) -> None:
        """The connection broke; `was_silent` when not a byte of an answer had come."""

    def on_broken(self) -> None:
        """One of these has raised something: the request is over, the engine is not at fault."""


class Surplus(Exception):
    """An engine answers more than it was asked."""


class Connection(asyncio.Protocol):
    """Keep-alive, strict, with back-pressure.

    llhttp reads whatever comes, but for a whole answer in one piece with a head that it has read before.
    """

    __slots__ = (
        *("_body", "_done", "_framed", "_keeps", "_kind", "_parser", "_sender", "_status", "_transport"),
        *("_unheard", "_until_close", "_user", "engine", "is_fresh", "is_silent"),
    )

    def __init__(self, engine: Engine, sender: Sender):
        self.engine, self._sender = engine, sender
        self.is_fresh = True
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._user: User | None = None
        self._body: list[bytes] = []
        self._kind = b""
        self._status = self._unheard = 0
        self._done = self._framed = self._until_close = self._keeps = False
        self.is_silent = False  # not a byte of the answer has come

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = made = cast(asyncio.Transport, transport)
        if not self.engine.tls:
            send_at_once(made)

    def ask(self, user: User, data: bytes) -> None:
        """Send a request; its answer goes to the user."""
        self._user = user
        self.is_silent = True
        self._unheard = MOST_HEAD
        assert self._transport is not None
        self._sender.put(self.engine, self._transport, data)

    def pause(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def leave(self) -> None:
        """Stop at once; the engine notices and stops too."""
        self._user = None
        self.close()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        user = self._user
        if user is None:
            self.close()  # nobody has asked for anything
            return
        self.engine.has_spoken = True
        try:
            if self.is_silent:
                self.is_silent = False
                self._begin(user, data)
            else:
                self._parse(data)
        except Exception:
            log.exception("answer_broke")
            user.on_broken()

    def _begin(self, user: User, data: bytes) -> None:
        """The first bytes of an answer, very often all of it."""
        parts = split_length(data)
        if parts is None or len(data) != parts[1] + parts[2]:
            self._parse(data)
            return
        head, _length, begin = parts
        answers = self.engine.answers
        known = answers.get(head)
        if known is not None:
            status, kind = known
            user.on_answer(status, kind)
            user.on_data(data[begin:])
            self._keeps = True
            self._finish()
            return
        self._parse(data)
        if self._keeps and self._status == 200 and self._framed:
            if len(answers) >= MOST_ANSWERS:
                answers.clear()
            answers[head] = self._status, self._kind

    def _parse(self, data: bytes) -> None:
        self._done = False
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.close()
            return
        if self._unheard:
            # Before its head is whole nobody waits for the rest of it but the parser, which keeps it.
            self._unheard -= len(data)
            if self._unheard <= 0:
                self.close()
                return
        body, user = self._body, self._user
        if body:
            self._body = []
            if user is not None:
                user.on_data(body[0] if len(body) == 1 else b"".join(body))
        if self._done:
            self._finish()

    def _finish(self) -> None:
        user, engine = self._user, self.engine
        if user is None:
            return
        self._user, self.is_fresh = None, False
        if self._keeps and not engine.is_retired and len(engine.idle) < MOST_IDLE:
            engine.idle.append(self)
        else:
            self.close()
        user.on_end()

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        user, self._user = self._user, None
        if user is None:
            if self in self.engine.idle:
                self.engine.idle.remove(self)
            return
        try:
            if self._until_close and not self.is_silent and _error is None:
                user.on_end()
            else:
                user.on_lost(self, was_silent=self.is_silent)
        except Exception:
            log.exception("loss_broke")
            user.on_broken()

    # What llhttp calls.

    def on_message_begin(self) -> None:
        if self._done:
            raise Surplus
        self._kind = b"application/json"
        self._framed = self._until_close = self._keeps = False

    def on_header(self, name: bytes, value: bytes) -> None:
        size = len(name)
        if size == 12 and name.lower() == b"content-type":
            self._kind = value
        elif (size == 14 and name.lower() == b"content-length") or (
            size == 17 and name.lower() == b"transfer-encoding"
        ):
            self._framed = True

    def on_headers_complete(self) -> None:
        status = self._status = self._parser.get_status_code()
        if status >= 200:
            self._unheard = 0
        if self._user is not None and status >= 200:  # before an answer there may be hints
            self._until_close = not self._framed
            self._user.on_answer(status, self._kind)

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        if self._status >= 200:
            self._done = True
            self._keeps = self._parser.should_keep_alive()  # llhttp has forgotten it a moment later


def connect(sender: Sender, engine: Engine, user: User) -> None:
    """A connection for the user: one that rests, or a new one."""
    while engine.idle:
        connection = engine.idle.pop()
        if connection._transport is not None and not connection._transport.is_closing():
            user.on_connected(connection)
            return
    task = sender.loop.create_task(_open(sender, engine, user))
    _opening.add(task)
    task.add_done_callback(_opening.discard)


_opening: set[asyncio.Task[None]] = set()


async def _open(sender: Sender, engine: Engine, user: User) -> None:
    try:
        await _open_for(sender, engine, user)
    except Exception:
        log.exception("opening_broke")
        user.on_broken()


async def _open_for(sender: Sender, engine: Engine, user: User) -> None:
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            transport, connection = await sender.loop.create_connection(
                lambda: Connection(engine, sender), engine.host, engine.port, ssl=_tls if engine.tls else None
            )
    except (OSError, TimeoutError):
        user.on_unreachable(engine)
        return
    provider = engine.provider
    if provider is not None and not provider.may_be_at(transport.get_extra_info("peername")):
        transport.abort()
        user.on_unreachable(engine)
        return
    user.on_connected(connection)
