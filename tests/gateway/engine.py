"""An engine that does as it is told: how many tokens, what it says of its use, when it waits or dies."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

PROMPT_TOKENS = 7


@dataclass
class Plan:
    """What the engine does with the next requests.

    `usage`: "final" as OpenAI, "each" with every chunk too, "zero", or "none". After `wait_at` tokens it
    waits for `go_on`, after `die_at` the connection breaks. `status`: refuse instead. A request may say in
    its `user` what shall be otherwise for it alone, as JSON.
    """

    tokens: int = 5
    usage: str = "each"
    wait_at: int | None = None
    die_at: int | None = None
    status: int = 200
    body: bytes = b'{"error":{"message":"no"}}'
    cached: int = 0
    responds: bool = True  # whether it has the Responses API
    is_loose: bool = False  # JSON with blanks, lines ended by CR and LF
    key: str = ""  # looks with another one are refused


@dataclass
class Engine:
    """A server on a port of its own, in a thread of its own."""

    plan: Plan = field(default_factory=Plan)
    requests: list[dict[str, Any]] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    looks: list[bytes] = field(default_factory=list)
    aborted: int = 0  # connections that the other side closed in the middle of an answer
    waiting: int = 0
    sent: int = 0  # tokens
    port: int = 0
    _loop: asyncio.AbstractEventLoop | None = None
    _go: asyncio.Event | None = None
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def go_on(self) -> None:
        """Let everything that waits go on."""
        assert self._loop is not None
        assert self._go is not None
        self._loop.call_soon_threadsafe(self._go.set)

    def die(self) -> None:
        """Break every connection and take no more."""
        done = threading.Event()

        def end() -> None:
            assert self._server is not None
            self._server.close()
            for writer in list(self._writers):
                writer.transport.abort()
            done.set()

        assert self._loop is not None
        self._loop.call_soon_threadsafe(end)
        assert done.wait(60)

    # In the thread.

    async def start(self) -> None:
        self._loop, self._go = asyncio.get_running_loop(), asyncio.Event()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        assert self._go is not None
        self._go.set()
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET "):  # a look, as external providers are given
                    self.looks.append(head)
                    status = self.plan.status if self.plan.key.encode() in head else 401
                    _write_whole(writer, status, b'{"data":[]}')
                    continue
                size = next(
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length")
                )
                body = json.loads(await reader.readexactly(size))
                self.heads.append(head)
                self.requests.append(body)
                await self._answer(head.split(b" ")[1], body, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _answer(self, path: bytes, body: Any, reader: Any, writer: asyncio.StreamWriter) -> None:
        plan = replace(self.plan, **json.loads(body.get("user") or "{}"))
        if path.endswith(b"responses") and not plan.responds:
            _write_whole(writer, 404, b'{"error":{"code":404,"message":"File Not Found"}}')
        elif plan.status != 200:
            _write_whole(writer, plan.status, plan.body)
        elif path.endswith(b"embeddings"):
            data = [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}]
            shown = {"object": "list", "model": body["model"], "data": data} | _usage(plan, 0)
            _write_whole(writer, 200, json.dumps(shown, separators=(",", ":")).encode())
        elif body.get("stream"):
            await self._stream(path, body, plan, reader, writer)
        else:
            most = min(plan.tokens, _most(body))
            await self._pause(plan, 0, reader)
            self.sent += most
            shown = _shown(path, body, "".join(map(word, range(_told(path, body), most))))
            shown |= _usage(plan, most) if plan.usage != "none" else {}
            if plan.die_at is not None:
                raise ConnectionResetError
            _write_whole(writer, 200, _spelled(shown, is_loose=plan.is_loose))
        await writer.drain()

    async def _stream(self, path: bytes, body: Any, plan: Plan, reader: Any, writer: Any) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        writer.write(head)
        begin, chat = _told(path, body), path.endswith(b"chat/completions")
        if chat:
            said = _chunk(path, body, {"role": "assistant", "content": ""})
            _event(writer, said, is_loose=plan.is_loose)
        most = min(plan.tokens - begin, _most(body))
        for number in range(begin, begin + most):
            await self._pause(plan, number, reader)
            if plan.die_at == number:
                await writer.drain()
                raise ConnectionResetError
            event = _chunk(path, body, {"content": word(number)} if chat else word(number))
            if plan.usage == "each":
                event |= _usage(plan, number + 1 - begin, begin)
            _event(writer, event, is_loose=plan.is_loose)
            self.sent += 1
            await writer.drain()
        await self._pause(plan, begin + most, reader)
        if plan.die_at is not None and plan.die_at >= begin + most:
            raise ConnectionResetError
        end = _chunk(path, body, {} if chat else "")
        end["choices"][0]["finish_reason"] = "stop" if most == plan.tokens - begin else "length"
        _event(writer, end, is_loose=plan.is_loose)
        if plan.usage != "none":
            _event(writer, _chunk(path, body, None) | _usage(plan, most, begin), is_loose=plan.is_loose)
        writer.write(_framed(b"data: [DONE]\n\n") + b"0\r\n\r\n")

    async def _pause(self, plan: Plan, number: int, reader: asyncio.StreamReader) -> None:
        """Wait, when it is time to; a caller that goes meanwhile ends the answer."""
        if plan.wait_at != number:
            return
        assert self._go is not None
        self.waiting += 1
        go, gone = asyncio.ensure_future(self._go.wait()), asyncio.ensure_future(reader.read(1))
        await asyncio.wait({go, gone}, return_when=asyncio.FIRST_COMPLETED)
        self.waiting -= 1
        if gone.done():
            go.cancel()
            self.aborted += 1
            raise ConnectionResetError
        gone.cancel()


def word(number: int) -> str:
    return f" t{number}"


def _most(body: Any) -> int:
    return int(body.get("max_completion_tokens") or body.get("max_tokens") or 10**9)


def _told(path: bytes, body: Any) -> int:
    """How many of our words the prompt ends with: an answer that is to be continued."""
    if path.endswith(b"chat/completions"):
        last = body["messages"][-1]
        return last["content"].count(" t") if last["role"] == "assistant" else 0
    return body["prompt"].count(" t") if isinstance(body.get("prompt"), str) else 0


def _usage(plan: Plan, tokens: int, told: int = 0) -> dict[str, Any]:
    into = 0 if plan.usage == "zero" else PROMPT_TOKENS + told
    out = 0 if plan.usage == "zero" else tokens
    details = {"cached_tokens": plan.cached}
    whole = {"prompt_tokens": into, "completion_tokens": out, "total_tokens": into + out}
    return {"usage": whole | {"prompt_tokens_details": details}}


def _shown(path: bytes, body: Any, text: str) -> dict[str, Any]:
    is_chat = path.endswith(b"chat/completions")
    said = {"message": {"role": "assistant", "content": text}} if is_chat else {"text": text}
    kind = "chat.completion" if is_chat else "text_completion"
    choices = [{"index": 0, "finish_reason": "stop", **said}]
    return {"id": "cmpl-test", "object": kind, "created": 1, "model": body["model"], "choices": choices}


def _chunk(path: bytes, body: Any, piece: Any) -> dict[str, Any]:
    is_chat = path.endswith(b"chat/completions")
    said = {"delta": piece} if is_chat else {"text": piece}
    choices = [] if piece is None else [{"index": 0, "finish_reason": None, **said}]
    kind = "chat.completion.chunk" if is_chat else "text_completion"
    return {
        "id": f"cmpl-{id(body)}",
        "object": kind,
        "created": 1,
        "model": body["model"],
        "choices": choices,
    }


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _event(writer: asyncio.StreamWriter, event: dict[str, Any], *, is_loose: bool = False) -> None:
    line = b"data: %b\r\n\r\n" if is_loose else b"data: %b\n\n"
    writer.write(_framed(line % _spelled(event, is_loose=is_loose)))


def _spelled(said: dict[str, Any], *, is_loose: bool) -> bytes:
    return json.dumps(said, separators=None if is_loose else (",", ":")).encode()


def _write_whole(writer: asyncio.StreamWriter, status: int, body: bytes) -> None:
    head = b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    writer.write(head % (status, len(body)) + body)


@contextmanager
def running(plan: Plan | None = None) -> Iterator[Engine]:
    """An engine for the length of the block."""
    engine, ready, over = Engine(plan or Plan()), threading.Event(), threading.Event()
    loop = asyncio.new_event_loop()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(engine.start())
        ready.set()
        loop.run_forever()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        over.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(60)
    try:
        yield engine
    finally:
        asyncio.run_coroutine_threadsafe(engine.stop(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        assert over.wait(60)
