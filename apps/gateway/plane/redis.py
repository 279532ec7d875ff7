"""One connection to Redis, pipelined: all that is asked in one turn of the loop goes in one write."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import hiredis

log = logging.getLogger(__name__)

Answered = Callable[[Any], None]
RECONNECT_SECONDS = 0.5
# An answer that takes longer is no answer; what waited goes on without it.
PATIENCE_SECONDS = 1.0


class Away:
    """What is answered in Redis's stead when it cannot be asked."""


AWAY = Away()


def command(*words: str | bytes | int | float) -> bytes:
    """A command in Redis's protocol."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        raw = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(raw), raw))
    return b"".join(parts)


class Redis:
    """Commands and who gets their answers, in order. While Redis is away every answer is AWAY, at once."""

    def __init__(self, url: str, loop: asyncio.AbstractEventLoop, greeting: list[bytes]):
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 6379
        self._loop = loop
        select = command("SELECT", parts.path.lstrip("/") or "0")
        self._greeting = [*_sign_in(parts.username, parts.password), select, *greeting]
        self._out: list[bytes] = []
        self._waiting: deque[Answered] = deque()
        self._connection: _Connection | None = None
        self._oldest = 0.0

    @property
    def is_there(self) -> bool:
        return self._connection is not None

    def call(self, raw: bytes, answered: Answered) -> None:
        """Ask; `answered` gets the answer, an error object, or AWAY."""
        if self._connection is None:
            answered(AWAY)
            return
        if not self._out:
            self._loop.call_soon(self._flush)
            if not self._waiting:
                self._oldest = self._loop.time()
        self._out.append(raw)
        self._waiting.append(answered)

    def tell(self, raw: bytes) -> None:
        """Ask for something whose answer does not matter."""
        self.call(raw, _ignore)

    async def run(self) -> None:
        """Stay connected for ever."""
        while True:
            try:
                _transport, protocol = await self._loop.create_connection(
                    lambda: _Connection(self), self._host, self._port
                )
                await protocol.ended
            except OSError:
                pass
            await asyncio.sleep(RECONNECT_SECONDS)

    def look(self) -> None:
        """Give up a connection that does not answer; called every now and then."""
        if self._waiting and self._loop.time() - self._oldest > PATIENCE_SECONDS and self._connection:
            self._connection.abort()

    def _flush(self) -> None:
        if self._connection is not None and self._out:
            self._connection.write(b"".join(self._out))
        self._out.clear()

    # From the connection.

    def opened(self, connection: "_Connection") -> None:
        connection.write(b"".join(self._greeting))
        self._waiting.extend([_ignore] * (len(self._greeting) - 1))
        self._waiting.append(lambda answer: self._greeted(connection, answer))
        self._oldest = self._loop.time()

    def _greeted(self, connection: "_Connection", answer: Any) -> None:
        if answer is AWAY:
            return
        if isinstance(answer, hiredis.HiredisError):
            connection.abort()  # loading, or another refusal: again in a moment
        else:
            self._connection = connection

    def answered(self, answer: Any) -> None:
        self._oldest = self._loop.time()
        _tell(self._waiting.popleft(), answer)

    def closed(self) -> None:
        self._connection = None
        self._out.clear()
        waiting, self._waiting = self._waiting, deque()
        for one in waiting:
            _tell(one, AWAY)


class _Connection(asyncio.Protocol):
    def __init__(self, owner: Redis):
        self._owner = owner
        self._reader = hiredis.Reader()
        self._transport: asyncio.Transport | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._owner.opened(self)

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        reader, answered = self._reader, self._owner.answered
        reader.feed(data)
        while (answer := reader.gets()) is not False:
            answered(answer)

    def connection_lost(self, _error: Exception | None) -> None:
        self._owner.closed()
        if not self.ended.done():
            self.ended.set_result(None)


def _sign_in(user: str | None, password: str | None) -> list[bytes]:
    if not password:
        return []
    return [command("AUTH", unquote(user), unquote(password)) if user else command("AUTH", unquote(password))]


def _tell(answered: Answered, answer: Any) -> None:
    """Whoever asked gets the answer; what they make of it is not the connection's concern."""
    try:
        answered(answer)
    except Exception:
        log.exception("answer_broke")


def _ignore(_answer: object) -> None:
    """Nobody waits for this."""
