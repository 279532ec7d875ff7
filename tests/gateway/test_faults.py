"""What one request can do to the others: odd bodies and faults of ours, before Redis, steward and engine."""

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.core.uuids import new_id
from apps.gateway import messages
from apps.gateway.flights import OPEN
from apps.gateway.plane import asks
from apps.gateway.plane.exchange import Exchange
from apps.gateway.plane.upstream import Connection
from apps.gateway.plane.worker import Orders, Worker
from tests.gateway.test_plane import KEY, ROUTE, SECRET, TEAM, WORKSPACE, Wire, caller
from tests.gateway.test_upstream import STREAM, WHOLE

PRICE = messages.PriceRow("EUR", (10**6, 10**6, 10**6, 10**6), ("1",) * 4, ("prv_1",) * 4)
PATHS = ("chat/completions", "completions", "embeddings", "responses")
FIELDS = (
    "stream", "stream_options", "max_tokens", "max_completion_tokens", "max_output_tokens", "n", "best_of",
    "prompt", "messages", "temperature", "tools", "input", "anything",
)  # fmt: skip
ODD = (
    "null", "true", "0", "-0", "1", "3", "-1", "1.5", "1e999", "1e" + "9" * 30, "9" * 5000, '""', '"a"',
    '"\\ud83d\\ude00"', '"\\ud800"', "[]", "[1]", "[[1],[2]]", '["a","b"]', "[1e999]", "{}",
    '{"include_usage":true}', '{"usage":{"prompt_tokens":0}}',
)  # fmt: skip
DEEP = st.integers(980, 1000).map(lambda depth: "[" * depth + "]" * depth)
BODIES = st.lists(st.tuples(st.sampled_from(FIELDS), st.sampled_from(ODD) | DEEP), max_size=5)


class Stand:
    """A worker whose Redis, steward and engine answer when they are told to."""

    def __init__(self, folder: Path):
        self.loop = uvloop.new_event_loop()
        orders = Orders("w", "", 0, str(folder), "redis://127.0.0.1:1/0", "", "", 0, -1, 1.0, 10.0)
        self.worker = Worker(orders, self.loop)
        self.plane = self.worker.plane
        self.line, self.redis = Wire(), Wire()
        self.worker.link.taken = self.worker.take
        self.worker.link.connection_made(self.line)  # type: ignore[arg-type]
        self.plane.redis._connection = self.redis  # type: ignore[assignment]
        row = messages.KeyRow(
            hashlib.sha256(SECRET).digest(), KEY, TEAM, WORKSPACE, refusal="", models=None, networks=[],
            expires_at=None, requests=(-1,) * 4, tokens=(-1,) * 4, book="b", currency="EUR",
        )  # fmt: skip
        route = msgspec.structs.replace(ROUTE, is_metered=True)
        for one in (messages.Keys([row], []), messages.Routes([route]), messages.Prices({"b": {"m": PRICE}})):
            self.say(one)

    def say(self, message: Any) -> None:
        """The steward says something."""
        self.worker.link.data_received(messages.pack(message))

    def count(self) -> None:
        """Redis lets pass whatever waits for it."""
        while self.plane.redis._waiting:
            self.plane.redis.answered([0, -1, -1, 0])

    def lend(self, share: float = 1.0) -> None:
        """The steward lends what is wanted, or a part of it."""
        for want in messages.Frames().feed(self.line.written):
            if isinstance(want, messages.Want):
                amount = max(int(want.need * share), 1) if share < 1 else want.amount
                self.say(
                    messages.Granted(
                        want.team_id, want.workspace_id, want.key_id, new_id("lse"), amount, 600.0, ""
                    )
                )
        self.line.written = b""

    def engine(self) -> Connection:
        """A connection to the engine that rests."""
        (engine,) = self.plane.tables.engines.values()
        connection = Connection(engine, self.plane.sender)
        connection.connection_made(Wire())  # type: ignore[arg-type]
        engine.idle.append(connection)
        return connection

    def post(self, body: bytes, path: str = "chat/completions") -> Wire:
        head = b"POST /v1/%b HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %b\r\n" % (path.encode(), SECRET)
        _client, wire = caller(self.plane, b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body))
        return wire

    def is_clean(self) -> bool:
        """Whether nothing is under way or held."""
        leases = [lease for teller in self.plane.tellers.values() for lease in teller.leases]
        (segment,), engines = self.plane.spool.segments, self.plane.tables.engines.values()
        held = [lease.outstanding or lease.requests for lease in leases]
        return not (
            self.plane.exchanges
            or any(held)
            or segment.count(OPEN)
            or any(one.outstanding for one in engines)
        )


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = Stand(tmp_path_factory.mktemp("spool"))
    yield made
    made.loop.close()


@settings(max_examples=150)
@given(fields=BODIES, path=st.sampled_from(PATHS), share=st.sampled_from([1.0, 0.6]))
def test_no_body_breaks_what_requests_share(
    stand: Stand, fields: list[tuple[str, str]], path: str, share: float
) -> None:
    stand.plane.tellers.clear()
    engine = stand.engine()
    body = "".join(f',"{name}":{value}' for name, value in fields)
    wire = stand.post(f'{{"model":"m"{body}}}'.encode(), path)
    stand.count()
    stand.lend(share)
    stand.plane.sender.send()
    if not wire.written:
        engine.data_received(STREAM if b'"stream":true' in engine._transport.written else WHOLE)  # type: ignore[union-attr]
        stand.plane.sender.send()
    assert wire.written[9:12] in (b"200", b"400", b"402")
    assert stand.is_clean()


@pytest.mark.parametrize(
    ("where", "name"),
    [
        (asks, "input_bound"), (asks, "ask_for_usage"), (Exchange, "_dispatch"), (Connection, "ask"),
        (Exchange, "_settle"),
    ],
)  # fmt: skip
def test_a_fault_ends_the_request_that_has_met_it_and_nothing_else(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, where: Any, name: str
) -> None:
    def fault(*_anything: Any, **_named: Any) -> None:
        raise ZeroDivisionError

    stand.plane.tellers.clear()
    engine = stand.engine()
    with monkeypatch.context() as broken:
        broken.setattr(where, name, fault)
        wire = stand.post(b'{"model":"m","stream":true}')
        stand.count()
        stand.lend()
        if not wire.written and not wire.is_closed:
            engine.data_received(STREAM)
        stand.plane.sender.send()
    assert b'"internal_error"' in wire.written or name == "_settle"
    assert stand.is_clean()
    assert not stand.worker.link.lost.is_set()
    other = stand.engine()
    wire = stand.post(b'{"model":"m","stream":true}')
    stand.count()
    stand.lend()
    stand.plane.sender.send()
    other.data_received(STREAM)
    stand.plane.sender.send()
    assert wire.written.startswith(b"HTTP/1.1 200 ")
    assert stand.is_clean()


def test_whoever_asks_redis_is_answered_whatever_others_make_of_it(stand: Stand) -> None:
    told: list[Any] = []
    stand.plane.redis.call(b"", lambda _answer: 1 / 0)
    stand.plane.redis.call(b"", told.append)
    stand.plane.redis.answered("one")
    stand.plane.redis.answered("two")
    assert told == ["two"]
