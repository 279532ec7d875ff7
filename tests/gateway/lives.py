"""Random lives of a worker's insides: callers, engines, Redis and the steward act in any order and pieces.

Whatever happened, in the end each caller that stayed has its own answers, in order and whole, or an error;
all of it is in the spool once; and nobody holds, waits for or keeps anything. What callers have said is read
a second time, byte by byte, without anything that the plane remembers.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any
from uuid import UUID

import httptools

from apps.core.uuids import encode, new_id
from apps.gateway import messages
from apps.gateway.flights import CLOSED, OPEN, Flight, Spool
from apps.gateway.plane import serving
from apps.gateway.plane.client import Client
from apps.gateway.plane.plane import Plane
from apps.gateway.plane.upstream import Connection

WORDS, PROMPT, CACHED = 6, 20, 5
SECRETS = [b"hai_live_%d" % number for number in range(3)]
LONG_AGO = -1000.0
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Loop:
    """Callbacks wait until they are run."""

    def __init__(self) -> None:
        self.soon: list[tuple[Callable[..., None], tuple[Any, ...]]] = []

    def call_soon(self, work: Callable[..., None], *values: Any) -> None:
        self.soon.append((work, values))

    def run(self, most: int = 10**6) -> None:
        while self.soon and most:
            work, values = self.soon.pop(0)
            work(*values)
            most -= 1


class Wire:
    """One end of a connection."""

    def __init__(self, loop: Loop, protocol: Any):
        self.loop, self.protocol = loop, protocol
        self.out = b""
        self.is_reading, self.is_closed, self.is_lost = True, False, False
        protocol.connection_made(self)

    def write(self, data: bytes) -> None:
        assert data
        assert not self.is_closed
        self.out += data

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self.loop.call_soon(self.lose)

    abort = close

    def lose(self) -> None:
        self.is_closed = True
        if not self.is_lost:
            self.is_lost = True
            self.protocol.connection_lost(None)

    def set_write_buffer_limits(self, high: int) -> None:
        pass


class Outside:
    """Redis and the steward, who answer when they like."""

    is_there = True

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.said: list[Any] = []

    def call(self, _raw: bytes, answered: Any) -> None:
        self.asked.append(answered)

    def tell(self, _raw: bytes) -> None:
        pass

    def send(self, message: Any) -> bool:
        self.said.append(message)
        return True


class Plain:
    """What callers say, every byte read by llhttp."""

    def __init__(self) -> None:
        self.requests: list[tuple[bytes, bytes]] = []
        self.is_bad = False
        self._parser = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> None:
        try:
            if not self.is_bad:
                self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.is_bad = True

    def on_message_begin(self) -> None:
        self._target = self._body = b""

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        self.requests.append((self._target, self._body))


class Answers:
    """What a caller was answered, every byte read by llhttp."""

    def __init__(self, data: bytes) -> None:
        self.found: list[tuple[int, dict[bytes, bytes], bytes]] = []
        self.is_whole = True
        self._parser = httptools.HttpResponseParser(self)
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._headers: dict[bytes, bytes] = {}
        self._body = b""
        self.is_whole = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name] = value

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        self.is_whole = True
        status = self._parser.get_status_code()
        if status >= 200:
            self.found.append((status, self._headers, self._body))


@dataclass
class Caller:
    """Somebody who asks, and leaves or stays."""

    client: Client
    wire: Wire
    pieces: list[bytes]
    plain: Plain
    has_left: bool = False


@dataclass
class Served:
    """An engine's connection: how much of what it was asked it has read, and what it has still to say."""

    connection: Connection
    wire: Wire
    read: int = 0
    says: list[bytes | None] = field(default_factory=list)


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def usage(out: int, prompt: int = PROMPT) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": out,
        "prompt_tokens_details": {"cached_tokens": CACHED},
    }


class Life:
    """One random life, always the same for the same number."""

    def __init__(self, number: int, folder: Path):
        self.chance = chance = Random(number)
        self.is_hostile = chance.random() < 0.6
        self.loop, self.outside, self.number, self.now = Loop(), Outside(), 0, monotonic()
        self.plane = Plane(self.loop, self.outside, Spool(folder), self.outside)  # type: ignore[arg-type]
        self.callers: list[Caller] = []
        self.served: list[Served] = []
        self.opening: list[tuple[Any, Any]] = []
        team, workspace, price = new_id("team"), new_id("wks"), new_id("prv")
        self.plane.tables.take_keys(messages.Keys([
            messages.KeyRow(
                hashlib.sha256(secret).digest(), new_id("key"), team, workspace, refusal="", models=None,
                networks=[], expires_at=None, requests=(-1,) * 4, tokens=(-1,) * 4, book="b", currency="EUR",
            )
            for secret in SECRETS
        ], []))  # fmt: skip
        attos = (10**12, 5 * 10**11, 3 * 10**12, 10**12)
        row = messages.PriceRow("EUR", attos, ("1", "0.5", "3", "1"), (price,) * 4)
        self.plane.tables.take_prices(messages.Prices({"b": {"m": row}}))
        self.routes = messages.Routes([messages.RouteRow(
            new_id("end"), team, ["m"], "m", is_public=False, is_metered=True, only_embeds=False,
            policy=chance.choice(["least_outstanding", "round_robin", "least_latency", "prefix_affinity"]),
            digest="", context_length=4096, queue_limit=3, can_wake=chance.random() < 0.3, created_at=0,
            replicas=[
                messages.ReplicaRow(new_id("rep"), f"http://127.0.0.1:{port}", "", 1, False, False, "")
                for port in (1, 2)
            ],
        )])  # fmt: skip
        self.plane.tables.take_routes(self.routes)

    def live(self) -> None:
        acts = (self.hear, self.hear, self.count, self.lend, self.open, self.serve, self.serve, self.serve)
        for _each in range(self.chance.randint(1, 6)):
            self.come()
        for _each in range(self.chance.randint(20, 300)):
            self.chance.choice(acts)()
            if self.chance.random() < 0.5:
                self.loop.run(self.chance.choice([1, 2, 10**6]))
            if self.chance.random() < 0.05:
                self.disturb()
        while True:
            self.loop.run()
            self.calm()
            done = [act() for act in (self.count, self.lend, self.open, self.serve, self.hear)]
            if not any(done) and not self.loop.soon:
                break
        self.check()

    # Callers.

    def come(self) -> None:
        asked = [self.request() for _each in range(self.chance.randint(1, 5))]
        pieces = asked if self.chance.random() < 0.6 else self.cut(b"".join(asked))
        plain, client = Plain(), Client(self.plane)
        for piece in pieces:
            plain.feed(piece)
        self.callers.append(Caller(client, Wire(self.loop, client), list(pieces), plain))

    def request(self) -> bytes:
        chance, ends = self.chance, b""
        self.number += 1
        if chance.random() < 0.06:
            ends = b"Connection: close\r\n"
        match chance.randrange(20):
            case 0 | 1:
                return b"GET /health HTTP/1.1\r\nHost: a\r\n%b\r\n" % ends
            case 2:
                return b"nonsense\x00\r\n\r\n"
        body: dict[str, Any] = {"model": "m" if chance.random() < 0.93 else "none"}
        body["messages"] = [{"role": "user", "content": f"q{self.number}"}]
        body |= chance.choice([{}, {"stream": True}, {"stream": True, "temperature": 0}])
        body |= chance.choice([{}, {"stream_options": {"include_usage": True}}, {"max_tokens": 100}])
        raw = compact(body)
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %b\r\n%b" % (
            chance.choice([*SECRETS, *SECRETS, b"wrong"]), ends,
        )  # fmt: skip
        if chance.random() < 0.1:
            return head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(raw), raw)
        if chance.random() < 0.05:
            head += b"Expect: 100-continue\r\n"
        return head + b"Content-Length: %d\r\n\r\n%b" % (len(raw), raw)

    def cut(self, data: bytes) -> list[bytes]:
        places = sorted(self.chance.randrange(len(data)) for _cut in range(self.chance.randint(1, 4)))
        pieces = [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]
        return [piece for piece in pieces if piece]

    def hear(self) -> bool:
        """A caller says something."""
        able = [one for one in self.callers if one.pieces and one.wire.is_reading and not one.wire.is_closed]
        if able:
            caller = self.chance.choice(able)
            caller.client.data_received(caller.pieces.pop(0))
        return bool(able)

    # Redis and the steward.

    def count(self) -> bool:
        if not self.outside.asked:
            return False
        self.outside.asked.pop(0)([0, 1000, 900, 50_000])
        return True

    def lend(self) -> bool:
        said, self.outside.said = self.outside.said, []
        for want in said:
            if isinstance(want, messages.Want):
                amount = want.amount if self.chance.random() < 0.8 else want.need // 2
                none = self.is_hostile and self.chance.random() < 0.1
                purse = (want.team_id, want.workspace_id, want.key_id)
                code = "payment_required" if none else ""
                lease = messages.Granted(*purse, new_id("lse"), 0 if none else amount, 600.0, code)
                self.plane.tellers[purse].granted(lease)
        return bool(said)

    # Engines.

    def connect(self, _sender: Any, engine: Any, user: Any) -> None:
        while engine.idle:
            connection = engine.idle.pop()
            if not connection._transport.is_closing():
                user.on_connected(connection)
                return
        self.opening.append((engine, user))

    def open(self) -> bool:
        if not self.opening:
            return False
        engine, user = self.opening.pop(self.chance.randrange(len(self.opening)))
        if self.is_hostile and self.chance.random() < 0.1:
            user.on_unreachable(engine)
            return True
        connection = Connection(engine, self.plane.sender)
        self.served.append(Served(connection, Wire(self.loop, connection)))
        user.on_connected(connection)
        return True

    def serve(self) -> bool:
        """An engine reads what it was asked, or says the next part of an answer."""
        self.served = [one for one in self.served if not one.wire.is_lost]
        for one in self.served:
            head, blank, rest = one.wire.out[one.read :].partition(b"\r\n\r\n")
            if blank and not one.says:
                length = int(head.rpartition(b"Content-Length: ")[2])
                assert len(rest) >= length
                one.read += len(head) + 4 + length
                one.says = self.answer(json.loads(rest[:length]))
        able = [one for one in self.served if one.says and one.wire.is_reading and not one.wire.is_closed]
        if not able:
            return False
        engine = self.chance.choice(able)
        piece = engine.says.pop(0)
        if piece is None:
            engine.wire.lose()
            return True
        for part in [piece] if self.chance.random() < 0.7 else self.cut(piece):
            if not engine.wire.is_closed:
                engine.connection.data_received(part)
        return True

    def answer(self, asked: dict[str, Any]) -> list[bytes | None]:
        if self.is_hostile and self.chance.random() < 0.15:
            status = self.chance.choice([b"400 No", b"500 No", b"503 No", b""])
            return [b"HTTP/1.1 %b\r\nContent-Length: 2\r\n\r\n{}" % status if status else None]
        first, *more = asked["messages"]
        mark, begun = first["content"], len(more[0]["content"].split()) if more else 0
        if not asked.get("stream"):
            body = compact({"choices": [{"message": {"content": mark}}], "usage": usage(WORDS)})
            ends = b"Connection: close\r\n" if self.chance.random() < 0.1 else b""
            return [b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (ends, len(body), body)]
        said = [
            {
                "choices": [{"delta": {"content": f"{mark}.{at} "}}],
                "usage": usage(at + 1 - begun, PROMPT + begun),
            }
            for at in range(begun, WORDS)
        ]
        events = [b"data: %b\n\n" % compact(one) for one in said] + [b"data: [DONE]\n\n"]
        pieces = [STREAM, *(b"%x\r\n%b\r\n" % (len(one), one) for one in events), b"0\r\n\r\n"]
        if self.is_hostile and self.chance.random() < 0.1:
            return [*pieces[: self.chance.randrange(1, len(pieces))], None]
        return [b"".join(pieces)] if self.chance.random() < 0.2 else list(pieces)

    # What else happens.

    def disturb(self) -> None:
        caller, tables = self.chance.choice(self.callers), self.plane.tables
        match self.chance.randrange(9):
            case 0 | 1:
                caller.has_left = True
                caller.wire.lose()
            case 2 | 3 if not caller.wire.is_lost:
                client = caller.client
                (client.resume_writing if client.is_paused else client.pause_writing)()
            case 4:
                tables.take_routes(self.routes)
            case 5 if self.is_hostile:
                tables.take_keys(messages.Keys([], [hashlib.sha256(SECRETS[0]).digest()]))
            case 6:
                for teller in self.plane.tellers.values():
                    teller.recall()
            case 7:
                self.plane.sender.send()
            case 8 if self.is_hostile:
                self.wait()
        for exchange in list(self.plane.exchanges):
            exchange.review()

    def wait(self) -> None:
        """Nothing happens for a while."""
        self.now += self.chance.choice([1.0, 40.0, 200.0])
        for engine in self.plane.tables.engines.values():
            engine.look(self.now)
        for exchange in list(self.plane.exchanges):
            exchange.look(self.now)

    def calm(self) -> None:
        """Nobody is slow any more, and engines are well again."""
        for caller in self.callers:
            if caller.client.is_paused and not caller.wire.is_lost:
                caller.client.resume_writing()
        for engine in self.plane.tables.engines.values():
            if engine.breaker.opened_at:
                engine.breaker.opened_at = LONG_AGO
        for route in self.plane.tables.routes.values():
            route.look(0.0)

    # What must be so in the end.

    def check(self) -> None:
        plane = self.plane
        assert not plane.exchanges
        assert not any(engine.outstanding for engine in plane.tables.engines.values())
        assert not any(route.queue for route in plane.tables.routes.values())
        leases = [lease for teller in plane.tellers.values() for lease in teller.leases]
        assert {(one.outstanding, one.requests) for one in leases} <= {(0, 0)}
        (segment,) = plane.spool.segments
        assert not segment.count(OPEN)
        flights = [Flight._make(one) for one in segment.read(segment.having(CLOSED))]
        spooled = {encode("rcp", UUID(bytes=one.request_id)).encode(): one for one in flights}
        assert len(spooled) == len(flights)
        for caller in self.callers:
            if not caller.has_left:
                self.check_answers(caller, spooled)

    def check_answers(self, caller: Caller, spooled: dict[bytes, Flight]) -> None:
        answers, asked = Answers(caller.wire.out), caller.plain.requests
        assert answers.is_whole or caller.wire.is_closed
        if not caller.wire.is_closed:
            assert len(answers.found) == len(asked)
        for (status, headers, body), (target, raw) in zip(answers.found, asked, strict=False):
            if target == b"/health":
                assert status == 200
            elif status == 200:
                ask = json.loads(raw)
                mark, flight = ask["messages"][0]["content"], spooled.pop(headers[b"x-receipt-id"])
                if not ask.get("stream"):
                    assert json.loads(body)["choices"][0]["message"]["content"] == mark
                elif b'"error"' in body:
                    continue
                else:
                    assert text_of(body) == "".join(f"{mark}.{at} " for at in range(WORDS))
                    assert body.endswith(b"data: [DONE]\n\n")
                assert (flight.input + flight.cached, flight.output) == (PROMPT, WORDS)


def text_of(body: bytes) -> str:
    events = [json.loads(one[6:]) for one in body.split(b"\n\n") if one.startswith(b"data: {")]
    return "".join(choice["delta"]["content"] for event in events for choice in event["choices"])


@contextmanager
def connecting(life: Life) -> Iterator[None]:
    """Connections are made by the life for as long as the block lasts."""
    before, serving.connect = serving.connect, life.connect  # type: ignore[assignment]
    try:
        yield
    finally:
        serving.connect = before
