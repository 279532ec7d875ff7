"""Receivers of webhooks: real HTTP servers on 127.0.0.1 that note what comes and answer as they are told."""

import json
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Call:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers.get("webhook-id", "")

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Receiver:
    """What came so far. `answers` are the statuses to give, one after the other; then 200.

    It honours ids: `seen` counts each event once, when it was answered well. `dripping` sends a body that
    never ends, or not even a status; `holding` is awaited before anything is answered.
    """

    url: str = ""
    answers: list[int] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    dripping: str = ""  # "head" or "body"
    holding: threading.Event | None = None
    ended: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, call: Call) -> int:
        with self.lock:
            self.calls.append(call)
            status = self.answers.pop(0) if self.answers else 200
            if 200 <= status < 300 and call.id not in self.seen:
                self.seen.append(call.id)
            return status

    @property
    def types(self) -> list[str]:
        """The types of what came, repeats too."""
        return [call.event["type"] for call in self.calls]

    @property
    def repeats(self) -> Counter[str]:
        """How often each event came."""
        return Counter(call.id for call in self.calls)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        names = {name.lower(): value for name, value in self.headers.items()}
        told = self.server.told
        status = told.take(Call(self.path, names, body))
        if told.holding is not None:
            told.holding.wait(60)
        if told.dripping == "head":
            self._drip(b"0", b"HTTP/1.1 20")
            return
        self.send_response(status)
        for name, value in told.headers.items():
            self.send_header(name, value)
        if told.dripping != "body":
            self.send_header("Content-Length", "0")
        self.end_headers()
        if told.dripping == "body":
            self._drip(b"x")

    def _drip(self, bit: bytes, first: bytes = b"") -> None:
        self.close_connection = True
        self.wfile.write(first)
        while not self.server.told.ended.wait(0.02):
            self.wfile.write(bit)

    def log_message(self, *_words: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    told: Receiver

    def handle_error(self, *_about: Any) -> None:
        """Whoever calls may hang up."""


@contextmanager
def receiving(tls: ssl.SSLContext | None = None, **options: Any) -> Iterator[Receiver]:
    """A receiver, for as long as the block lasts."""
    server = _Server(("127.0.0.1", 0), _Handler)
    told = server.told = Receiver(**options)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    scheme, host = ("https", "localhost") if tls else ("http", "127.0.0.1")
    told.url = f"{scheme}://{host}:{server.server_port}/hook?from=test"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        told.ended.set()
        if told.holding is not None:
            told.holding.set()
        server.shutdown()
        server.server_close()
        thread.join(60)
