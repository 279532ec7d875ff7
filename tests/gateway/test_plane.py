"""The worker's insides without sockets: who is paused when a caller is slow, and how money is asked for."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop

from apps.core.uuids import new_id
from apps.gateway import messages
from apps.gateway.flights import CLOSED, OPEN, Flight, Spool
from apps.gateway.http import MOST_BODY
from apps.gateway.plane import asks
from apps.gateway.plane.client import Client
from apps.gateway.plane.engines import Engine
from apps.gateway.plane.pages import found
from apps.gateway.plane.plane import Plane
from apps.gateway.plane.refusals import refusal
from apps.gateway.plane.tellers import AHEAD, Teller
from apps.gateway.plane.upstream import Connection
from apps.gateway.steward.settling import progress_of
from tests.gateway.test_upstream import STREAM, WHOLE

SECRET = b"hai_live_secret"
TEAM, WORKSPACE, KEY = new_id("team"), new_id("wks"), new_id("key")


REPLICA = messages.ReplicaRow(new_id("rep"), "http://127.0.0.1:1", "", 1, False, False, "")
ROUTE = messages.RouteRow(
    new_id("end"), TEAM, ["m"], "m", is_public=False, is_metered=False, only_embeds=False,
    policy="least_outstanding", digest="", context_length=4096, queue_limit=1, can_wake=False,
    created_at=0, replicas=[REPLICA],
)  # fmt: skip
LONG_AGO = -1000.0


class Wire:
    """A transport that notes what is done to it."""

    def __init__(self) -> None:
        self.written = b""
        self.times = 0
        self.high = -1
        self.unsent = 0
        self.is_reading = True
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.written += data
        self.times += 1

    def set_write_buffer_limits(self, high: int) -> None:
        self.high = high

    def get_write_buffer_size(self) -> int:
        return self.unsent

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
    made.tables.take_keys(messages.Keys([row], []))
    made.tables.take_routes(messages.Routes([ROUTE]))
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
    client, wire = caller(plane, request(**body))
    return client, wire, connection


def begun(event: bytes) -> bytes:
    """The beginning of a stream."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + chunked(event)


def chunked(event: bytes) -> bytes:
    return b"%x\r\n%b\n\n\r\n" % (len(event) + 2, event)


def with_another(plane: Plane, **row: Any) -> tuple[Connection, Connection]:
    """Connections that rest: the engine's, and that of one that is asked after it."""
    other = msgspec.structs.replace(REPLICA, id=new_id("rep"), is_last=True)
    route = msgspec.structs.replace(ROUTE, replicas=[REPLICA, other], **row)
    plane.tables.take_routes(messages.Routes([route]))
    first, second = (plane.tables.engines[one.id] for one in (REPLICA, other))
    resting = Connection(second, plane.sender)
    resting.connection_made(Wire())  # type: ignore[arg-type]
    second.idle.append(resting)
    return first.idle[-1], resting


def caller(plane: Plane, said: bytes) -> tuple[Client, Wire]:
    """A caller that has said this, and what has been answered at once."""
    client, wire = Client(plane), Wire()
    client.connection_made(wire)  # type: ignore[arg-type]
    client.data_received(said)
    plane.sender.send()
    return client, wire


def answer(body: bytes, *headers: bytes) -> bytes:
    head = b"\r\n".join([b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *headers])
    return head + b"\r\n\r\n" + body


def closed(plane: Plane) -> list[Flight]:
    """What the spool holds of requests that are over."""
    (segment,) = plane.spool.segments
    return [Flight._make(one) for one in segment.read(segment.having(CLOSED))]


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


PAGE = b"GET /v1/nothing HTTP/1.1\r\nHost: a\r\n\r\n"


def turn(plane: Plane) -> None:
    """One turn of the loop."""
    plane.loop.call_soon(plane.loop.stop)
    plane.loop.run_forever()


def test_who_asks_many_things_at_once_is_answered_one_a_turn_as_they_are_taken(plane: Plane) -> None:
    client, wire = caller(plane, PAGE * 9)
    assert (wire.written.count(b"HTTP/1.1 404 "), wire.is_reading) == (1, False)
    turn(plane)
    client.pause_writing()
    for _each in range(9):
        turn(plane)
    assert 1 < wire.written.count(b"HTTP/1.1 404 ") < 4
    client.resume_writing()
    for _each in range(9):
        turn(plane)
    assert (wire.written.count(b"HTTP/1.1 404 "), wire.is_reading) == (9, True)


def test_who_does_not_read_is_not_read_from(plane: Plane) -> None:
    client, wire = caller(plane, PAGE)
    client.pause_writing()
    assert not wire.is_reading
    client.resume_writing()
    assert wire.is_reading


def test_no_engine_is_kept_for_a_caller_that_does_not_read(plane: Plane) -> None:
    client, wire, connection = asked(plane, stream=True)
    connection.data_received(STREAM[:-5])
    client.pause_writing()
    (exchange,) = plane.exchanges
    for second in (1000.0, 1060.0):
        exchange.look(second)
    client.resume_writing()  # in time: it starts anew
    client.pause_writing()
    for second in (1070.0, 1130.0):
        exchange.look(second)
        assert plane.exchanges
    exchange.look(1131.0)
    assert not plane.exchanges
    assert connection.engine.outstanding == 0
    assert len(closed(plane)) == 1
    wire.unsent = 20
    for second in (1200.0, 1260.0):
        client.look(second)
    wire.unsent = 10  # something was taken
    for second in (1261.0, 1321.0):
        client.look(second)
    wire.is_closed = False
    client.look(1322.0)
    assert wire.is_closed


def passes(plane: Plane, began: float, seconds: int) -> None:
    """As many seconds, each looked at as the worker does."""
    for second in range(seconds + 1):
        for engine in plane.tables.engines.values():
            engine.look(began + second)
        for exchange in list(plane.exchanges):
            exchange.look(began + second)
    plane.sender.send()


@pytest.mark.parametrize(("stream", "patience"), [(True, 301), (False, 601)])
def test_an_engine_that_says_nothing_to_anybody_is_asked_no_more(
    plane: Plane, *, stream: bool, patience: int
) -> None:
    connection, resting = with_another(plane)
    now = connection.engine.spoke_at
    _client, wire = caller(plane, request(stream=stream))
    passes(plane, now, patience - 1)
    assert connection.engine.takes()
    passes(plane, now + patience, 1)
    assert not connection.engine.takes()
    assert connection.engine.outstanding == 0
    resting.data_received(STREAM if stream else WHOLE)
    plane.sender.send()
    assert wire.written.startswith(b"HTTP/1.1 200 ")
    assert not plane.exchanges


def test_a_request_that_an_engine_keeps_waiting_is_no_reason_to_leave_it(plane: Plane) -> None:
    connection, _resting = with_another(plane)
    engine = connection.engine
    now = engine.spoke_at
    _client, wire = caller(plane, request(stream=True))
    for second in range(0, 360, 60):
        passes(plane, now + second, 59)
        engine.has_spoken = True  # to others
    assert b'"engine_slow"' in wire.written
    assert engine.takes()


def test_a_stream_that_falls_silent_goes_on_elsewhere_when_its_engine_hangs(plane: Plane) -> None:
    connection, resting = with_another(plane)
    caller(plane, request(stream=True, temperature=0))
    event = b'data: {"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":3,"completion_tokens":1}}'
    connection.data_received(begun(event))
    passes(plane, connection.engine.spoke_at, 62)
    assert not connection.engine.takes()
    told: Any = resting._transport
    assert b'"content":"a"' in told.written


@pytest.mark.parametrize("is_public", [True, False])
def test_the_cache_of_an_engine_that_teams_share_is_no_spy(plane: Plane, *, is_public: bool) -> None:
    plane.tables.take_routes(messages.Routes([msgspec.structs.replace(ROUTE, is_public=is_public)]))
    _client, _wire, connection = asked(plane, stream=True, cache_prompt=True, cache_salt="another's")
    told: Any = connection._transport
    body = json.loads(told.written.partition(b"\r\n\r\n")[2])
    theirs = (False, TEAM) if is_public else (True, "another's")
    assert (body["cache_prompt"], body["cache_salt"]) == theirs
    assert body["stream_options"]["include_usage"]


def test_a_team_waits_for_few_receipts_at_once(plane: Plane) -> None:
    head = b"GET /v1/receipts/%b HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %b\r\n\r\n"
    asking = head % (plane.ids.next()[1], SECRET)
    wires = [caller(plane, asking)[1] for _each in range(9)]
    assert [wire.written[9:12] for wire in wires] == [b""] * 8 + [b"429"]
    _team, first = plane.receipts.pop(next(iter(plane.receipts)))
    found(first, b"{}")
    plane.sender.send()
    assert wires[0].written.endswith(b"{}")
    assert not caller(plane, asking)[1].written


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


def test_a_lease_that_has_ended_is_no_money() -> None:
    """The books have given it back meanwhile: somebody else may have spent it."""
    outside, answers = Outside(), []
    teller = Teller((TEAM, "", ""), outside.send)
    teller.hold(10, 10, lambda held, code: answers.append((held, code)))
    teller.granted(messages.Granted(TEAM, "", "", new_id("lse"), 1000, 0.0, "", ""))
    teller.granted(messages.Granted(TEAM, "", "", "", 0, 0.0, "payment_required", ""))
    assert answers == [(None, "payment_required")]


def test_any_amount_of_money_can_be_asked_for_and_lent() -> None:
    said = [
        messages.Want(TEAM, "", "", 10**20, 10**24),
        messages.Granted(TEAM, "", "", new_id("lse"), 10**24, 600.0, ""),
        messages.Prices({"b": {"m": messages.PriceRow("IDR", (10**21, 0, 0, 0), ("1",) * 4, (None,) * 4)}}),
        messages.Keys([], [bytes(range(256))]),
    ]
    assert messages.Frames().feed(b"".join(map(messages.pack, said))) == said


def test_a_probe_that_is_given_up_leaves_the_engine_to_the_next(plane: Plane) -> None:
    (engine,) = plane.tables.engines.values()
    for _failure in range(5):
        engine.breaker.fail()
    engine.breaker.opened_at = LONG_AGO
    client, _wire, _connection = asked(plane)
    assert not engine.takes()
    client.connection_lost(None)
    assert engine.takes()


def test_who_has_gone_waits_for_no_engine(plane: Plane) -> None:
    asleep = msgspec.structs.replace(ROUTE, can_wake=True, replicas=[])
    plane.tables.take_routes(messages.Routes([asleep]))
    (route,) = plane.tables.routes.values()
    client, _wire = caller(plane, request())
    assert len(route.queue) == 1
    client.connection_lost(None)
    assert not route.queue
    _client, wire = caller(plane, request())
    assert not wire.written
    assert len(route.queue) == 1


def test_who_waits_goes_on_when_a_circuit_is_tried_again(plane: Plane) -> None:
    plane.tables.take_routes(messages.Routes([msgspec.structs.replace(ROUTE, can_wake=True)]))
    (route,), (engine,) = plane.tables.routes.values(), plane.tables.engines.values()
    for _failure in range(5):
        engine.breaker.fail()
    caller(plane, request())
    route.look(0.0)
    assert len(route.queue) == 1
    engine.breaker.opened_at = LONG_AGO
    route.look(0.0)
    assert (len(route.queue), engine.outstanding) == (0, 1)


@pytest.mark.parametrize("said", ["1e12", "10000000000", "9" * 30, '"many"'])
def test_a_count_that_nobody_believes_is_none(plane: Plane, said: str) -> None:
    _client, wire, connection = asked(plane)
    body = b'{"usage":{"prompt_tokens":7,"completion_tokens":%b}}' % said.encode()
    connection.data_received(answer(body))
    plane.sender.send()
    assert wire.written.endswith(body)
    assert not plane.exchanges
    (flight,) = closed(plane)
    assert flight[8:12] == (0, 0, 0, 0)


def test_usage_is_read_however_much_an_engine_says_of_it(plane: Plane) -> None:
    _client, wire, connection = asked(plane, stream=True, stream_options={"include_usage": True})
    said = {"prompt_tokens": 70, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 30}}
    more = {"cost_details": {f"part_{number}": 0.25 for number in range(30)}}
    event = b"data: " + msgspec.json.encode({"choices": [], "usage": said | more}) + b"\n\n"
    connection.data_received(answer(event + b"data: [DONE]\n\n", b"Content-Type: text/event-stream"))
    plane.sender.send()
    assert event in wire.written
    (flight,) = closed(plane)
    assert (flight.input, flight.cached, flight.output) == (40, 30, 5)


@pytest.mark.parametrize("provider", [None, messages.ProviderRow("theirs", ["127.0.0.0/8"])])
def test_no_callers_tool_is_taken_for_what_an_answer_has_used(plane: Plane, provider: Any) -> None:
    """Events of the Responses API repeat the request; its tools are described in any words."""
    (engine,) = plane.tables.engines.values()
    connection = engine.idle.pop()
    engine = connection.engine = Engine(msgspec.structs.replace(REPLICA, provider=provider), b"")
    plane.tables.routes[ROUTE.endpoint_id].become(ROUTE, [engine], "")
    engine.idle.append(connection)

    def event(kind: str, **more: Any) -> bytes:
        said = {"type": f"response.{kind}", **more}
        return b"event: response.%b\ndata: %b\n\n" % (kind.encode(), msgspec.json.encode(said))

    tools = [{"name": "t", "parameters": {"usage": {"input_tokens": 0, "output_tokens": 0}}}]
    first = event("created", response={"usage": None, "tools": tools})
    told = b"".join(event("output_text.delta", delta=word) for word in ("Hel", "lo", "!"))
    used = {"input_tokens": 70, "output_tokens": 5}
    ended = event("completed", response={"usage": used, "tools": tools})
    for said, counts in ((first + told, (0, 0, 3)), (first + told + ended, (70, 0, 5))):
        client, _wire = caller(plane, request(stream=True).replace(b"chat/completions", b"responses"))
        connection.data_received(begun(said.removesuffix(b"\n\n")))
        client.connection_lost(None)
        flight = closed(plane)[-1]
        assert (flight.input, flight.cached, flight.output) == counts
        connection = Connection(engine, plane.sender)
        connection.connection_made(Wire())  # type: ignore[arg-type]
        engine.idle.append(connection)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"model":"m","max_tokens":1,"n_predict":9}', b'"param":"n_predict"'),
        (b'{"model":"m","n":1,"n_cmpl":9}', b'"param":"n_cmpl"'),
        (b'{"model":"m","samplers":"' + b"k" * 2000 + b'"}', b'"param":"samplers"'),
        (b'{"model":"m","stop":[' + b'"a",' * 64 + b'"b"]}', b'"param":"stop"'),
        (b'{"model":"m","n_probs":21}', b'"param":"n_probs"'),
        (b'{"model":"m","logprobs":21}', b'"param":"logprobs"'),
        (b'{"model":"m","prompt":["\xff"]}', b'"malformed"'),
        (b'{"model":"m","messages":"\xff","stream":true,"stream_options":{}}', b'"malformed"'),
    ],
)
def test_a_body_that_engines_would_read_otherwise_is_refused(plane: Plane, body: bytes, code: bytes) -> None:
    head, _blank, _body = request().partition(b"Content-Length")
    _client, wire = caller(plane, b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body))
    assert wire.written.startswith(b"HTTP/1.1 400 ")
    assert code in wire.written


def test_numbers_stay_as_they_were_spelled() -> None:
    body = b'{"model":"m","top_p":0.10,"seed":123456789012345678901234567890,"x":1e999,"n":1}'
    assert asks.changed(body, {"n": 2}) == body.replace(b"1e999", b"1E+999").replace(b'"n":1', b'"n":2')


@pytest.mark.parametrize(
    ("named", "is_whole"),
    [
        (b'{"image_url":{"url":"https://a.example"}}', True),
        (rb'{"image\u005furl":{"url":"https://a.example"}}', True),
        (rb'{"image_\u0075\u0072\u006Cx":1}', True),
        (b'{"previous_response_id":"resp_1"}', True),
        (rb'{"content":"caf\u00e9 \u003c\u0026\u003e","call_id":"call_1"}', False),
    ],
)
def test_what_is_only_named_may_be_as_long_as_the_context(named: bytes, *, is_whole: bool) -> None:
    """However its name is spelled; what is written out has no more tokens than bytes."""
    assert asks.input_bound(named, 4096) == (4096 if is_whole else len(named) + asks.TEMPLATE)


def test_the_most_that_any_engine_may_heed_is_held() -> None:
    twice = asks.read_ask(b'{"model":"m","max_tokens":9,"max_completion_tokens":50,"max_output_tokens":3}')
    assert (twice.most("chat"), twice.most("response")) == (50, 50)
    assert asks.read_ask(b'{"model":"m","max_completion_tokens":5}').most("response") is None
    assert asks.read_ask(b'{"model":"m","max_completion_tokens":5}').most("chat") == 5
    lowered = msgspec.json.decode(asks.limit_tokens(b"{}", twice, "response", 2))
    assert lowered == {"max_output_tokens": 2, "max_completion_tokens": 2}


def test_nobody_is_told_to_go_on_with_a_body_that_is_too_long(plane: Plane) -> None:
    head = request().partition(b"Content-Length")[0] + b"Expect: 100-continue\r\nContent-Length: "
    _client, wire = caller(plane, head + b"%d\r\n\r\n" % MOST_BODY)
    assert wire.written == b"HTTP/1.1 100 Continue\r\n\r\n"
    _client, wire = caller(plane, head + b"%d\r\n\r\n" % (MOST_BODY + 1))
    assert wire.written.startswith(b"HTTP/1.1 413 ")


def test_who_has_asked_every_engine_waits_for_none(plane: Plane) -> None:
    plane.tables.take_routes(messages.Routes([msgspec.structs.replace(ROUTE, can_wake=True)]))
    _client, wire, connection = asked(plane)
    connection.data_received(b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\n{}")
    plane.sender.send()
    assert b'"engine_failed"' in wire.written
    assert not plane.exchanges


def test_an_answer_that_no_other_engine_goes_on_with_ends_with_an_error(plane: Plane) -> None:
    connection, resting = with_another(plane)
    _client, wire = caller(plane, request(stream=True, temperature=0))
    event = b'data: {"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":3,"completion_tokens":1}}'
    connection.data_received(begun(event))
    connection.connection_lost(None)
    resting.data_received(b"HTTP/1.1 400 No\r\nContent-Length: 2\r\n\r\n{}")
    plane.sender.send()
    assert wire.written.count(event) == 1
    assert b'"engine_failed"' in wire.written
    assert wire.written.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    (flight,) = closed(plane)
    assert (flight.input, flight.output) == (3, 1)
    assert not resting.engine.breaker.opened_at


@pytest.mark.parametrize(
    ("usage", "counts"),
    [(b"", (0, 0, 2)), (b',"usage":{"prompt_tokens":3,"completion_tokens":2}', (3, 0, 2))],
)
def test_a_worker_that_dies_while_an_answer_is_gone_on_with_has_noted_what_was_sent_once(
    plane: Plane, usage: bytes, counts: tuple[int, int, int]
) -> None:
    connection, _resting = with_another(plane)
    caller(plane, request(stream=True, temperature=0))
    connection.data_received(begun(b'data: {"choices":[{"delta":{"content":"a"}}]}'))
    connection.data_received(chunked(b'data: {"choices":[{"delta":{"content":"b"}}]%b}' % usage))
    connection.connection_lost(None)
    (segment,) = plane.spool.segments
    (fields,) = segment.read(segment.having(OPEN))
    assert progress_of(Flight._make(fields)) == counts


def test_nothing_is_begun_for_a_caller_that_is_being_left(plane: Plane) -> None:
    """Who is slow to take the last words makes room once more before the connection is closed."""
    client, _wire, _connection = asked(plane)
    client.data_received(request())
    client.pause_writing()
    for exchange in list(plane.exchanges):
        exchange.cut(refusal("bad_key"))  # type: ignore[attr-defined]
    client.resume_writing()
    assert not plane.exchanges


def test_what_is_malformed_is_not_answered_in_the_place_of_what_waits(plane: Plane) -> None:
    client, wire, _connection = asked(plane)
    client.data_received(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\nnonsense\r\n\r\n")
    for exchange in list(plane.exchanges):
        exchange.cut(refusal("engine_slow"))  # type: ignore[attr-defined]
    assert wire.written.count(b"HTTP/1.1 ") == 1
    assert wire.is_closed


def test_events_that_nobody_can_read_are_not_gone_on_with(plane: Plane) -> None:
    _client, wire, connection = asked(plane, stream=True, temperature=0)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    connection.data_received(head + b'14\r\ndata: {"choices":3}\n\n\r\n')
    connection.connection_lost(None)
    plane.sender.send()
    assert b'"engine_failed"' in wire.written
    assert not plane.exchanges


@pytest.mark.parametrize(
    ("more", "param"), [({"n": 2}, b"n"), ({"prompt": ["a", "b"]}, b"prompt"), ({}, b"")]
)
def test_answers_that_nobody_counts_are_not_given(plane: Plane, more: dict[str, Any], param: bytes) -> None:
    route = msgspec.structs.replace(ROUTE, is_metered=True, counts_one=True)
    key = msgspec.structs.replace(plane.tables.keys[hashlib.sha256(SECRET).digest()].row, book="b")
    price = messages.PriceRow("EUR", (10**12,) * 4, ("1",) * 4, ("prv_1",) * 4)
    plane.tables.take_keys(messages.Keys([key], []))
    plane.tables.take_prices(messages.Prices({"b": {"m": price}}))
    plane.tables.take_routes(messages.Routes([route]))
    said = request(**more).replace(b"/v1/chat/completions", b"/v1/completions")
    _client, wire = caller(plane, said)
    assert wire.written.startswith(b"HTTP/1.1 400 " if param else b"")
    assert (b'"param":"%b"' % param in wire.written) == bool(param)


@pytest.mark.parametrize(
    ("priced", "path", "only_embeds", "code"),
    [
        ("input output", b"chat/completions", False, b""),
        ("input", b"chat/completions", False, b"no_price"),
        ("embedding", b"chat/completions", False, b"no_price"),
        ("input output", b"embeddings", False, b"not_supported"),
        ("embedding", b"embeddings", True, b""),
        ("input output", b"embeddings", True, b"no_price"),
    ],
)
def test_nothing_is_asked_whose_tokens_nobody_could_charge(
    plane: Plane, priced: str, path: bytes, code: bytes, *, only_embeds: bool
) -> None:
    route = msgspec.structs.replace(ROUTE, is_metered=True, only_embeds=only_embeds)
    plane.tables.take_routes(messages.Routes([route]))
    kinds = ("input", "cached", "output", "embedding")
    ids = tuple(new_id("prv") if kind in priced else None for kind in kinds)
    row = messages.PriceRow("EUR", tuple(bool(one) for one in ids), ("0",) * 4, ids)  # type: ignore[arg-type]
    plane.tables.take_prices(messages.Prices({"": {"m": row}}))
    _client, wire = caller(plane, request().replace(b"chat/completions", path))
    asked = [one for one in plane.link.said if isinstance(one, messages.Want)]  # type: ignore[attr-defined]
    assert bool(asked) != bool(code)
    assert code in wire.written


@pytest.mark.parametrize("answers", [1, 2])
def test_a_picture_is_held_for_however_many_answers_are_asked_for(plane: Plane, answers: int) -> None:
    plane.tables.take_routes(messages.Routes([msgspec.structs.replace(ROUTE, is_metered=True)]))
    row = messages.PriceRow("EUR", (10**9, 0, 0, 0), ("1",) * 4, ("prv_1",) * 4)
    plane.tables.take_prices(messages.Prices({"": {"m": row}}))
    caller(plane, request(n=answers, messages=[{"content": [{"image_url": {"url": "https://a.example"}}]}]))
    (want,) = [one for one in plane.link.said if isinstance(one, messages.Want)]  # type: ignore[attr-defined]
    assert want.need >= ROUTE.context_length * 10**9
