"""`/v1` under the portal's own address: passed to the gateway and back as it comes, in bounded pieces.

Heavy callers go to the gateway itself; this is for installations with one address, and costs more.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import httptools
from django.conf import settings

from apps.gateway.http import MOST_BODY
from apps.gateway.proof import peer_token

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

PIECE = 64 * 1024
CONNECT_SECONDS = 5.0
# A longer body is announced first: a gateway that will not have it says so before any of it is sent, and its
# words are not lost with the connection.
ANNOUNCED = 64 * 1024
# One byte more than it takes of any body: when that has come it says so, and nothing is left unread, which
# would reset the connection and lose its words.
MOST_TAKEN = MOST_BODY + 1
_PASSED = frozenset(
    {b"accept", b"authorization", b"content-type", b"user-agent", b"x-hostedai-resume", b"x-hostedai-session"}
)
_HOP = frozenset({b"connection", b"keep-alive", b"transfer-encoding", b"content-length"})
_AWAY = (
    b'{"error":{"message":"The gateway cannot be reached.","type":"server_error","param":null,'
    b'"code":"gateway_away"}}'
)


class Gateway:
    """An ASGI application that has another server answer."""

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                reader, writer = await asyncio.open_connection(settings.GATEWAY_HOST, settings.GATEWAY_PORT)
        except (OSError, TimeoutError):
            await _refuse(send)
            return
        response = _Response()
        answering = asyncio.create_task(_answer(reader, response, send))
        asking = asyncio.create_task(_ask(scope, receive, writer, response))
        try:
            # Asking ends when the caller has gone, and then the answer is for nobody.
            await asyncio.wait({answering, asking}, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                answering.result()
        finally:
            for task in (asking, answering):
                task.cancel()
            writer.transport.abort()


async def _ask(
    scope: dict[str, Any], receive: Receive, writer: asyncio.StreamWriter, response: "_Response"
) -> None:
    """Pass the request on; returns when the caller has gone."""
    sizes = [value for name, value in scope["headers"] if name == b"content-length"]
    announced = not sizes or not sizes[0].isdigit() or int(sizes[0]) > ANNOUNCED
    writer.write(_head(scope, sizes) + (b"expect: 100-continue\r\n\r\n" if announced else b"\r\n"))
    if announced:
        await response.is_awaited.wait()
    is_whole, room = False, MOST_TAKEN
    while (message := await receive())["type"] != "http.disconnect":
        if is_whole or not room:
            continue
        body = message.get("body", b"")[:room]
        room -= len(body)
        with contextlib.suppress(ConnectionError):
            is_whole = not message.get("more_body", False)
            _write_piece(writer, body, is_sized=bool(sizes), is_last=is_whole, is_taken=room > 0)
            await writer.drain()


def _write_piece(
    writer: asyncio.StreamWriter, body: bytes, *, is_sized: bool, is_last: bool, is_taken: bool
) -> None:
    if is_sized:
        writer.write(body)
        return
    if body:
        writer.write(b"%x\r\n%b" % (len(body), body) + (b"\r\n" if is_taken else b""))
    if is_last and is_taken:
        writer.write(b"0\r\n\r\n")


def _head(scope: dict[str, Any], sizes: list[bytes]) -> bytes:
    target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    lines = [b"%b %b HTTP/1.1" % (scope["method"].encode(), target), b"host: gateway", b"connection: close"]
    lines += [b"%b: %b" % pair for pair in scope["headers"] if pair[0] in _PASSED]
    lines.append(b"content-length: " + sizes[0] if sizes else b"transfer-encoding: chunked")
    client = scope.get("client") or ("",)
    lines.append(f"x-hostedai-peer: {peer_token(settings.SECRET_KEY)} {client[0]}".encode())
    return b"\r\n".join([*lines, b""])


class _Response:
    """What the parser has found so far."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.body: list[bytes] = []
        self.is_begun = self.is_complete = False
        self.is_awaited = asyncio.Event()  # the body may come
        self.parser = httptools.HttpResponseParser(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() not in _HOP:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self.parser.get_status_code() >= 200:
            self.is_begun = True
        else:
            self.headers.clear()

    def on_body(self, data: bytes) -> None:
        self.body.append(data)

    def on_message_complete(self) -> None:
        self.is_complete = self.is_begun


async def _answer(reader: asyncio.StreamReader, response: _Response, send: Send) -> None:
    """Pass the answer back; an answer that breaks off breaks off here too."""
    started = False
    while not response.is_complete:
        try:
            data = await reader.read(PIECE)
        except ConnectionError:
            break
        if not data:
            break
        response.parser.feed_data(data)
        if not response.is_begun:
            response.is_awaited.set()
        if response.is_begun and not started:
            started = True
            status = response.parser.get_status_code()
            await send({"type": "http.response.start", "status": status, "headers": response.headers})
        if response.body:
            body, response.body = b"".join(response.body), []
            await send({"type": "http.response.body", "body": body, "more_body": True})
    if not started:
        await _refuse(send)
    elif response.is_complete:
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _refuse(send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"retry-after", b"2")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": _AWAY, "more_body": False})
