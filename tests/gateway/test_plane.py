"""The worker's insides without sockets: who is paused when a caller is slow, and how money is asked for."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from apps.core.uuids import new_id
from apps.gateway import messages
from apps.gateway.flights import Spool
from apps.gateway.plane.client import Client
from apps.gateway.plane.plane import Plane
from apps.gateway.plane.tellers import AHEAD, Teller
from apps.gateway.plane.upstream import Connection
from tests.gateway.test_upstream import STREAM, WHOLE

SECRET = b"hai_live_secret"
TEAM, WORKSPACE, KEY = new_id("team"), new_id("wks"), new_id("key")


class Wire:
    """A transport that notes what is done to it."""

    def __init__(self) -> None:
        self.written = b""
        self.times = 0
        self.high = -1
        self.is_reading = True
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.written += data
        self.times += 1

    def set_write_buffer_limits(self, high: int) -> None:
        self.high = high

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def abort(self) -> None:
        self.is_closed = True

    close = abort

    def is_closing(self) -> bool:
        return self.is_closed


class Outside:
    """Redis and the steward at once: counts nothing, lends everything that it is told to."""

    is_there = True

    def __init__(self) -> None:
        self.said: list[Any] = []

    def call(self, _raw: bytes, answered: Any) -> None:
        answered([0, -1, -1, 0])

    def tell(self, _raw: bytes) -> None:
        pass

    def send(self, message: Any) -> bool:
        self.said.append(message)
        return True


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    """A worker that knows one key and one endpoint whose engine has a connection that rests."""
    loop, outside = uvloop.new_event_loop(), Outside()
    made = Plane(loop, outside, Spool(tmp_path), outside)  # type: ignore[arg-type]
    row = messages.KeyRow(
        hashlib.sha256(SECRET).digest(), KEY, TEAM, WORKSPACE, refusal="", models=None, networks=[],
        expires_at=None, requests=(-1,) * 4, tokens=(-1,) * 4, book="", currency="EUR",
    )  # fmt: skip
    replica = messages.ReplicaRow(new_id("rep"), "http://127.0.0.1:1", "", 1, False, False, "")
    made.tables.take_keys(messages.Keys([row], []))
    made.tables.take_routes(messages.Routes([messages.RouteRow(
        new_id("end"), TEAM, ["m"], "m", is_public=False, is_metered=False, only_embeds=False,
        policy="least_outstanding", digest="", context_length=4096, queue_limit=1, can_wake=False,
        created_at=0, replicas=[replica],
    )]))  # fmt: skip
    (engine,) = made.tables.engines.values()
    connection = Connection(engine, made.sender)
    connection.connection_made(Wire())  # type: ignore[arg-type]
    engine.idle.append(connection)
    yield made
    loop.close()


def request(**body: Any) -> bytes:
    raw = json.dumps({"model": "m", "messages": [], **body}).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %b\r\n" % SECRET
    return b"%bContent-Length: %d\r\n\r\n%b" % (head, len(raw), raw)


def asked(plane: Plane, **body: Any) -> tuple[Client, Wire, Connection]:
    """A caller that has asked, and the engine's connection that has been told."""
    (engine,) = plane.tables.engines.values()
    connection = engine.idle[-1]
    client, wire = Client(plane), Wire()
    client.connection_made(wire)  # type: ignore[arg-type]
    client.data_received(request(**body))
    return client, wire, connection


def test_a_slow_caller_holds_its_engine_back(plane: Plane) -> None:
    client, wire, connection = asked(plane, stream=True)
    engine_wire: Any = connection._transport
    connection.data_received(STREAM[:-5])
    plane.sender.send()
    assert b"data: 34567890\n\n" in wire.written
    client.pause_writing()  # the kernel takes no more of what is written
    assert not engine_wire.is_reading
    client.resume_writing()
    assert engine_wire.is_reading
    connection.data_received(STREAM[-5:])
    plane.sender.send()
    assert wire.written.endswith(b"0\r\n\r\n")
    assert not plane.exchanges


def test_a_caller_that_is_slow_already_holds_the_next_engine_back_too(plane: Plane) -> None:
    client, wire, connection = asked(plane)
    connection.data_received(WHOLE)
    plane.sender.send()
    assert wire.written.endswith(b'{"answer": "a"}')
    client.pause_writing()
    client.data_received(request(stream=True))
    engine_wire: Any = connection._transport
    assert not engine_wire.is_reading


def test_what_a_turn_says_is_sent_peer_by_peer_and_once_per_connection(plane: Plane) -> None:
    sent: list[tuple[str, bytes]] = []

    class Noted(Wire):
        def __init__(self, name: str):
            super().__init__()
            self.name = name

        def write(self, data: bytes) -> None:
            sent.append((self.name, data))

    sender = plane.sender
    engine, first, second, gone = (Noted(name) for name in ("engine", "first", "second", "gone"))
    said = (("callers", first, b"1"), ("engine", engine, b"2"), ("callers", gone, b"3"))
    for peer, wire, data in (*said, ("callers", second, b"4"), ("callers", first, b"5")):
        sender.put(peer, wire, data)  # type: ignore[arg-type]
    gone.close()
    assert sent == []
    sender.send()
    assert sent == [("first", b"15"), ("second", b"4"), ("engine", b"2")]
    sender.send()
    assert len(sent) == 3


def test_a_stream_that_ends_in_the_same_turn_is_one_write(plane: Plane) -> None:
    _client, wire, connection = asked(plane, stream=True)
    connection.data_received(STREAM)
    assert wire.times == 0
    plane.sender.send()
    assert wire.times == 1
    assert wire.high == 0  # the transport has no queue of its own besides
    assert wire.written.endswith(b"data: 34567890\n\n\r\n0\r\n\r\n")


def test_last_words_are_said_before_the_connection_closes(plane: Plane) -> None:
    client, wire = Client(plane), Wire()
    client.connection_made(wire)  # type: ignore[arg-type]
    client.data_received(b"nonsense\r\n\r\n")
    assert wire.is_closed
    assert wire.written.startswith(b"HTTP/1.1 400 ")


def test_a_caller_that_asks_ahead_is_not_read_from(plane: Plane) -> None:
    client, wire, _connection = asked(plane)
    client.data_received(b"GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n")
    assert not wire.is_reading


def test_leases_grow_with_the_pace_and_are_asked_for_early() -> None:
    outside = Outside()
    teller = Teller((TEAM, WORKSPACE, KEY), outside.send)
    held: list[Any] = []

    def grant() -> int:
        want = outside.said.pop()
        lease = messages.Granted(*teller.purse, new_id("lse"), want.amount, 600.0, "")
        teller.granted(lease)
        return int(want.amount)

    teller.hold(10, 10, lambda got, _code: held.append(got))
    assert grant() == 10 * AHEAD
    assert len(held) == 1
    while not outside.said:
        assert teller.take(10, 0.0) is not None
    assert outside.said[0].need == 0
    assert grant() > 100 * AHEAD
    assert teller.take(10 * AHEAD, 0.0) is not None


def test_who_is_short_does_not_ask_early() -> None:
    outside = Outside()
    teller = Teller((TEAM, WORKSPACE, KEY), outside.send)
    held: list[Any] = []
    teller.hold(10, 10, lambda got, _code: held.append(got))
    outside.said.clear()
    teller.granted(messages.Granted(*teller.purse, new_id("lse"), 30, 600.0, ""))
    assert [teller.take(10, 0.0) is None for _each in range(3)] == [False, False, True]
    assert not outside.said
