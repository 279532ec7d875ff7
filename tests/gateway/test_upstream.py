"""What an engine says comes out the same, however it is cut and whether or not the same was read before."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from apps.gateway.messages import ReplicaRow
from apps.gateway.plane.engines import Engine
from apps.gateway.plane.upstream import Connection, connect

WHOLE = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{"answer": "a"}'
STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n10\r\ndata: 34567890\n\n\r\n0\r\n\r\n"
)
BAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0x2\r\ncd\r\n0\r\n\r\n"
ODD = (
    WHOLE + WHOLE,
    WHOLE[:-1],
    STREAM.replace(b"9\r\n", b"8\r\n", 1),
    STREAM.replace(b"9\r\ndata: 2", b"+9\r\ndata: 2"),
    WHOLE.replace(b"Length: 15", b"Length: 15\r\nContent-Length: 16"),
    WHOLE.replace(b"Length: 15", b"Length: 15\r\nTransfer-Encoding: chunked"),
    WHOLE.replace(b"\r\nContent-Length", b"\r\nConnection: close\r\nContent-Length"),
    WHOLE.replace(b"200 OK", b"503 No"),
    WHOLE.replace(b"Content-Length: 15\r\n", b""),
    BAD,
)


class Wire:
    """A transport that only notes whether it was closed."""

    def __init__(self) -> None:
        self.is_closed = False

    def write(self, _data: bytes) -> None:
        pass

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def abort(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed


class Sender:
    """Sends at once."""

    def put(self, _peer: Any, transport: Any, data: bytes) -> None:
        transport.write(data)


def connected(engine: Engine) -> Connection:
    """A connection that is there."""
    connection = Connection(engine, Sender())  # type: ignore[arg-type]
    connection.connection_made(Wire())  # type: ignore[arg-type]
    return connection


@dataclass
class User:
    """Whose answer it is."""

    answers: list[tuple[int, bytes]] = field(default_factory=list)
    body: bytes = b""
    has_ended: bool = False
    connection: Connection | None = None
    was_silent: bool | None = None

    def on_connected(self, connection: Connection) -> None:
        self.connection = connection

    def on_unreachable(self, _engine: Engine) -> None:
        raise AssertionError

    def on_answer(self, status: int, kind: bytes) -> None:
        self.answers.append((status, kind))

    def on_data(self, data: bytes) -> None:
        self.body += data

    def on_end(self) -> None:
        self.has_ended = True

    def on_lost(self, _connection: Connection, *, was_silent: bool) -> None:
        self.was_silent = was_silent


def told(engine: Engine, pieces: list[bytes]) -> tuple[Any, ...]:
    """What a user hears of an answer in these pieces, and whether the connection rests for the next."""
    connection, user = connected(engine), User()
    wire: Any = connection._transport
    connection.ask(user, b"")
    for piece in pieces:
        if not wire.is_closed and not user.has_ended:
            connection.data_received(piece)
    rests = connection in engine.idle
    engine.idle.clear()
    return user.answers, user.body, user.has_ended, rests


def an_engine() -> Engine:
    return Engine(ReplicaRow("rep_1", "http://127.0.0.1:1", "", 1, False, False, ""), bytes(16))


def test_an_answer_is_the_same_wherever_it_is_cut_and_the_second_time() -> None:
    for data, body in ((WHOLE, b'{"answer": "a"}'), (STREAM, b"data: 1\n\ndata: 2\n\ndata: 34567890\n\n")):
        known = an_engine()
        first = told(known, [data])
        assert first[1:] == (body, True, True)
        assert told(known, [data]) == first
        for cut in range(1, len(data)):
            assert told(known, [data[:cut], data[cut:]]) == first, cut
        assert told(known, [data[at : at + 1] for at in range(len(data))]) == first


def test_chunks_that_come_one_by_one_are_passed_on_one_by_one() -> None:
    connection, user = connected(an_engine()), User()
    connection.ask(user, b"")
    head, _mark, body = STREAM.partition(b"\r\n\r\n")
    connection.data_received(head + b"\r\n\r\n")
    for piece in body.split(b"\n\n\r\n")[:3]:
        before = user.body
        connection.data_received(piece + b"\n\n\r\n")
        assert user.body == before + piece.partition(b"\r\n")[2] + b"\n\n"
    connection.data_received(b"0\r\n\r\n")
    assert user.has_ended


@pytest.mark.parametrize("data", ODD)
def test_what_is_odd_is_odd_the_second_time_too(data: bytes) -> None:
    known = an_engine()
    told(known, [WHOLE])
    first = told(an_engine(), [data])
    assert told(known, [data]) == told(known, [data]) == first
    if data not in ODD[6:9]:
        assert not first[3] or first[1] == b'{"answer": "a"}'


def test_a_connection_that_rests_is_used_again() -> None:
    engine, user = an_engine(), User()
    connection = connected(engine)
    connection.ask(user, b"")
    connection.data_received(WHOLE)
    assert user.has_ended
    connect(None, engine, user)  # type: ignore[arg-type] - nothing is sent to one that rests
    assert user.connection is connection


def test_hints_before_an_answer_are_no_answer() -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    first = told(an_engine(), [WHOLE])
    assert told(an_engine(), [hint + WHOLE]) == told(an_engine(), [hint, WHOLE]) == first


@pytest.mark.parametrize("endless", [b"X-More: " + b"a" * 1000, b"HTTP/1.1 103 Early Hints\r\n\r\n" * 40])
def test_an_engine_that_never_comes_to_its_answer_is_left(endless: bytes) -> None:
    connection, user = connected(an_engine()), User()
    wire: Any = connection._transport
    connection.ask(user, b"")
    connection.data_received(b"HTTP/1.1 200 OK\r\n" if endless.startswith(b"X") else endless)
    for _each in range(100):
        if not wire.is_closed:
            connection.data_received(endless)
    assert wire.is_closed
    assert not user.answers


def test_a_connection_that_ends_in_silence_has_answered_nothing() -> None:
    connection, user = connected(an_engine()), User()
    connection.ask(user, b"")
    connection.data_received(b"HTTP/1.1 204 No Content\r\n\r\n")  # said without a length, and yet whole
    assert user.has_ended
    connection.ask(user := User(), b"")
    connection.connection_lost(None)
    assert (user.has_ended, user.was_silent) == (False, True)
