"""The WebSocket itself. Its subprotocols are our protocol and a one-time ticket; no secret is in a URL."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog
from asgiref.sync import sync_to_async
from django.utils.translation import gettext as _

from apps.core.errors import DomainError
from apps.instances.specs import Admission
from apps.panels.terminal import guard
from apps.panels.terminal.recording import Recording
from apps.panels.terminal.streams import Console, Serial, Shell, Stream

SUBPROTOCOL = "hostedai.terminal.v1"
PATHS = {"/terminal": "terminal", "/console-screen": "console"}
IDLE_SECONDS = 15 * 60
LOOK_SECONDS = 3.0
LARGEST_MESSAGE = 64 * 1024
OVER, GONE, REFUSED, UNREACHABLE, TOO_LARGE = 1000, 4408, 4403, 4502, 1009

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Ended:
    """Why a screen was closed."""

    code: int
    reason: str = ""


class Terminal:
    """An ASGI application for WebSockets. `open_console` is given by the wiring: faces know no drivers."""

    def __init__(self, open_console: Callable[[str], Console], idle: float = IDLE_SECONDS) -> None:
        self._open_console = open_console
        self._idle = idle

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if (await receive())["type"] != "websocket.connect":
            return
        admitted = await self._admit(scope)
        if admitted is None:
            await send({"type": "websocket.close", "code": REFUSED})
            return
        admission, session_key = admitted
        await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
        try:
            stream = await self._open(admission)
        except DomainError as error:
            await send({"type": "websocket.close", "code": UNREACHABLE, "reason": _short(str(error.message))})
            return
        await Screen(admission, session_key, stream, self._idle).run(receive, send)

    async def _admit(self, scope: dict[str, Any]) -> tuple[Admission, str] | None:
        access = PATHS.get(scope["path"])
        offered = scope.get("subprotocols") or []
        if access is None or len(offered) != 2 or offered[0] != SUBPROTOCOL:
            return None
        session_key = guard.session_of(scope)
        try:
            origin = guard.origin_of(scope)
            ask = sync_to_async(guard.admit, thread_sensitive=False)
            return await ask(
                secret=offered[1], origin=origin, access=access, session_key=session_key
            ), session_key
        except DomainError as error:
            log.info("terminal_refused", reason=error.reason)
            return None

    async def _open(self, admission: Admission) -> Stream:
        if admission.access == "terminal":
            return await Shell.open(admission)
        return await Serial.open(admission, self._open_console)


class Screen:
    """One open screen: three tasks, and whichever ends first ends it."""

    def __init__(self, admission: Admission, session_key: str, stream: Stream, idle: float) -> None:
        self._admission = admission
        self._session_key = session_key
        self._stream = stream
        self._idle = idle
        self._recording = Recording(admission)
        self._typed_at = time.monotonic()

    async def run(self, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.send", "text": json.dumps({"type": "ready"})})
        work = (self._to_machine(receive), self._to_browser(send), self._watch())
        tasks = [asyncio.ensure_future(one) for one in work]
        ended = Ended(OVER)
        try:
            done, _pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            ended = next(iter(done)).result()
        except (OSError, ConnectionError) as error:
            ended = Ended(UNREACHABLE, str(error))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._end(ended, send)

    async def _to_machine(self, receive: Receive) -> Ended:
        while True:
            event = await receive()
            if event["type"] == "websocket.disconnect":
                return Ended(OVER, "left")
            text = event.get("text") or ""
            if len(text) > LARGEST_MESSAGE:
                return Ended(TOO_LARGE, _("That was too much at once."))
            await self._heed(text)

    async def _heed(self, text: str) -> None:
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            return
        match said:
            case {"type": "input", "data": str(data)}:
                self._typed_at = time.monotonic()
                await self._stream.write(data.encode(errors="replace"))  # half a surrogate pair
            case {"type": "resize", "cols": int(columns), "rows": int(rows)}:
                if 1 <= columns <= 1000 and 1 <= rows <= 1000:
                    self._stream.resize(columns, rows)
                    self._recording.resize(columns, rows)

    async def _to_browser(self, send: Send) -> Ended:
        while data := await self._stream.read():
            self._recording.output(data)
            await send({"type": "websocket.send", "bytes": data})
        return Ended(OVER, _("The machine ended it."))

    async def _watch(self) -> Ended:
        stays = sync_to_async(guard.stays, thread_sensitive=False)
        while True:
            await asyncio.sleep(min(LOOK_SECONDS, self._idle))
            if time.monotonic() - self._typed_at >= self._idle:
                return Ended(GONE, _("Closed because nothing was typed for 15 minutes."))
            if not await stays(self._admission, self._session_key):
                return Ended(REFUSED, _("Your access to this machine has ended, or it does not run."))

    async def _end(self, ended: Ended, send: Send) -> None:
        with suppress(OSError, RuntimeError):
            await self._stream.close()
        if ended.reason != "left":
            with suppress(OSError, RuntimeError):
                await send({"type": "websocket.close", "code": ended.code, "reason": _short(ended.reason)})
        note = sync_to_async(guard.note_closed, thread_sensitive=False)
        digest = self._recording.finish()
        await note(
            admission=self._admission,
            recording=self._recording.path.name,
            sha256=digest,
            reason=ended.reason or "over",
        )


def _short(text: str) -> str:
    """A close frame holds 123 bytes of reason."""
    return text.encode()[:120].decode(errors="ignore")
