"""Who answers a request, and how it ends: engines are asked, asked again, passed on, and settled with."""

import time

from apps.gateway import flights, messages
from apps.gateway.http import Head
from apps.gateway.plane import asks, resume, wire
from apps.gateway.plane.engines import Engine, Route
from apps.gateway.plane.faults import contained
from apps.gateway.plane.plane import Caller, Plane
from apps.gateway.plane.providers import Provider
from apps.gateway.plane.refusals import Refusal, refusal
from apps.gateway.plane.relay import ResponseStream, Stream, Whole
from apps.gateway.plane.tables import Key, Way
from apps.gateway.plane.tellers import NOTHING, ROUNDING, Held
from apps.gateway.plane.theirs import TheirResponseStream, Theirs, TheirStream, TheirWhole
from apps.gateway.plane.upstream import Connection, connect

MOST_TRIES = 4
_clock = time.monotonic
_now_ns = time.time_ns
_NOBODY: frozenset[str] = frozenset()
# The engine is well and cannot do this: embeddings of a chat model, say.
_LACKS = 501
# It is ill, or it is llama.cpp and means the request: its words tell.
_DOUBTFUL = 500


class Serving:
    """The half of a request that faces the engines; `exchange` has the half that faces the caller."""

    __slots__ = (
        "_began", "_body", "_connection", "_heard", "_held", "_kind", "_most", "_rest", "_retried",
        "_silent_since", "_slot", "_status", "_tried", "_type", "_waits", "_way", "ask", "client", "engine",
        "first_body", "head", "headers", "is_chunked", "is_over", "is_stream", "key", "path", "plane",
        "receipt", "relay", "request_id", "resumed", "route",
    )  # fmt: skip

    # Known once the other half has done its work.
    ask: asks.Ask
    path: bytes
    route: Route
    request_id: bytes
    first_body: bytes
    _kind: asks.Kind
    _way: Way
    _most: int
    _rest: tuple[int, int]

    def __init__(self, plane: Plane, client: Caller, head: Head, body: bytes):
        self.plane, self.client, self.head, self._body = plane, client, head, body
        self._began = _clock()
        self._held: Held = NOTHING
        self._slot: flights.Slot | None = None
        self._connection: Connection | None = None
        self.engine: Engine | None = None
        self.relay: Whole | Stream | None = None
        self.resumed: resume.Resumed | None = None
        self.key: Key | None = None
        self._tried = _NOBODY
        self.headers = self.receipt = b""
        self._heard = self._waits = self._silent_since = 0.0
        self.is_over = self._retried = self.is_stream = False
        self.is_chunked = not head.is_old

    # Where it goes.

    def _send_on(self) -> None:
        """Everything is settled but who answers."""
        self.request_id, self.receipt = self.plane.ids.next()
        if self.ask.stream and self._kind != "embedding":
            self.is_stream = True
            self._body = asks.ask_for_usage(self._body, self.ask)
        if self._way.apart and self._kind != "embedding":
            self._body = self._body.rstrip()[:-1] + self._way.apart
        self.first_body = self._body
        self._dispatch()

    def _dispatch(self) -> None:
        if self.is_over:
            return
        route, plane = self.route, self.plane
        affinity = (self.head.session or self._body[:512]) if route.row.policy == "prefix_affinity" else b""
        engine = route.pick(self._tried, affinity, plane.tables.region)
        if engine is None:
            self._without_engine()
            return
        self._waits = self._silent_since = 0.0
        self.engine = engine
        engine.outstanding += 1
        engine.breaker.begin()
        lease = self._held.lease
        lease_key = flights.NOBODY if lease is None else lease.key
        if self._slot is None:
            began_us = _now_ns() // 1000 - int((_clock() - self._began) * 1_000_000)
            self._slot = plane.spool.open(
                self.request_id, self._way.facts[self._kind == "embedding"],
                stream=self.is_stream, started_us=began_us, replica=engine.key, lease=lease_key,
            )  # fmt: skip
        else:
            self._slot.engine(engine.key, lease_key, goes_on=self.resumed is not None)
        connect(plane.sender, engine, self)

    @contained
    def _go_on(self) -> None:
        """There is an engine for those who wait."""
        self._dispatch()

    def _without_engine(self) -> None:
        route, plane = self.route, self.plane
        if self.resumed is not None or (self._tried and (route.takes() or not route.row.can_wake)):
            self._give_up(refusal("engine_failed"))
        elif not route.row.can_wake:
            self._give_up(refusal("model_revoked" if route.row.is_revoked else "no_engine"))
        elif len(route.queue) >= route.row.queue_limit:
            self._give_up(refusal("queue_full"))
        else:
            self._waits = self._waits or _clock()
            route.queue.append(self._go_on)
            plane.send(messages.Wake(route.row.endpoint_id))

    def on_connected(self, connection: Connection) -> None:
        if self.is_over:
            connection.leave()
            return
        engine = connection.engine
        self._connection = connection
        path, body = self.path, self._body
        if engine.provider is not None:
            path, body = path[3:], self._for_provider(engine.provider)
        connection.ask(
            self,
            b"POST %b%b HTTP/1.1\r\n%bX-Request-Id: %b\r\nContent-Length: %d\r\n\r\n%b"
            % (engine.base, path, engine.api_head, self.receipt, len(body), body),
        )
        if self.client.is_paused:
            connection.pause()

    def _for_provider(self, provider: Provider) -> bytes:
        """The body for an external provider; an engine of our own that sleeps is woken meanwhile."""
        if self.route.row.can_wake:
            self.plane.send(messages.Wake(self.route.row.endpoint_id))
        return provider.asked(self._body, self.path, self._most_tokens())

    def _theirs(self, provider: Provider) -> Theirs:
        most = self._most_tokens() * asks.answers_of(self.ask, self._kind)
        return Theirs(provider, self.route.row.slug, most)

    def _most_tokens(self) -> int:
        """As many tokens as an answer may have; so much money is held."""
        context = self.route.row.context_length
        return min(self.ask.most(self._kind) or context, context)

    def on_unreachable(self, engine: Engine) -> None:
        if not self.is_over and self.engine is engine:
            self._engine_failed()

    # What comes back.

    def on_answer(self, status: int, kind: bytes) -> None:
        engine = self.engine
        assert engine is not None
        is_doubtful = status == _DOUBTFUL and engine.provider is None and self.relay is None
        if (status >= 500 and status != _LACKS and not is_doubtful) or status in engine.trouble:
            self._drop_connection()
            self._engine_failed()
            return
        if self.resumed is not None and status != 200:
            self._stop_waiting()  # what was begun elsewhere cannot be gone on with here
            self._give_up(refusal("engine_failed"))
            return
        self._status, self._type = status, kind
        self._silent_since = 0.0
        if is_doubtful:
            self.relay = Whole(self)
            return
        if not self._heard:
            self._heard = _clock()
            engine.took(self._heard - self._began)
        engine.breaker.succeed()
        if self.is_stream and status == 200 and b"event-stream" in kind:
            self._start_stream(engine.provider)
        elif self.relay is None:
            theirs = engine.provider
            self.relay = Whole(self) if theirs is None else TheirWhole(self, self._theirs(theirs))

    def _start_stream(self, theirs: Provider | None) -> None:
        if self.resumed is not None:
            return  # the stream that the caller has goes on
        assert self._slot is not None
        keeps, hides = resume.is_possible(self), not self.ask.wants_usage
        repeats = self._kind == "response"
        if theirs is None:
            stream = ResponseStream if repeats else Stream
            self.relay = stream(self, self._slot, hides_usage=hides, keeps=keeps)
        else:
            their = TheirResponseStream if repeats else TheirStream
            self.relay = their(self, self._slot, self._theirs(theirs), hides_usage=hides, keeps=keeps)

    def note_first(self) -> int:
        """The caller of a stream is sent its first byte now; answers the µs that it has waited."""
        self._heard = _clock()
        return int((self._heard - self._began) * 1_000_000)

    def on_data(self, data: bytes) -> None:
        relay = self.relay
        if self.is_over or relay is None:
            return
        self._silent_since = 0.0
        if self.resumed is not None:
            data = self.resumed.translated(data)
            if not data:
                return
        if not relay.take(data):
            self._drop_connection()
            self._engine_failed()

    def on_end(self) -> None:
        self._connection = None
        relay = self.relay
        if self.is_over or relay is None:
            return
        if self._status == _DOUBTFUL and isinstance(relay, Whole):
            if not relay.refuses():
                self._engine_failed()
                return
            assert self.engine is not None
            self.engine.breaker.succeed()
        counts = relay.end(self._status, self._type, self._answer_headers())
        outcome = flights.COMPLETED if self._status < 400 else flights.REFUSED
        self._settle(outcome, counts)
        self.client.finished(must_close=not self.is_chunked and isinstance(relay, Stream))

    def on_lost(self, connection: Connection, *, was_silent: bool) -> None:
        if self.is_over:
            return
        self._connection = None
        relay = self.relay
        if isinstance(relay, Stream) and relay.is_done:
            self.on_end()
        elif was_silent and not connection.is_fresh and not self._retried:
            # A connection that rested too long: the request has not been seen, the engine is not at fault.
            self._retried = True
            assert self.engine is not None
            self._silent_since = 0.0
            connect(self.plane.sender, self.engine, self)
        else:
            self._engine_failed()

    def on_broken(self) -> None:
        """The other half knows how to end it."""
        raise NotImplementedError

    def _engine_hangs(self) -> None:
        """It says nothing to anybody. (To one request it may say nothing for that request's own reasons.)"""
        self._drop_connection()
        self._engine_failed(hangs=True)

    def _engine_failed(self, *, hangs: bool = False) -> None:
        """This engine has failed this request: ask another, as long as that can be done unseen."""
        engine = self.engine
        assert engine is not None
        self._leave_engine()
        engine.breaker.fail(at_once=hangs)
        self._tried |= {engine.row.id}
        self.plane.metrics.add("engine_failures", engine.row.id)
        relay = self.relay
        if not isinstance(relay, Stream) or not relay.has_sent:
            self.relay = None
            if len(self._tried) < MOST_TRIES:
                self._dispatch()
            else:
                self._give_up(refusal("engine_failed"))
            return
        resumed = resume.after(self, relay)
        if resumed is None or len(self._tried) >= MOST_TRIES:
            self._give_up(refusal("engine_failed"))
            return
        self.resumed, self._body = resumed, resumed.body
        self._tried |= self.route.external  # they begin anew instead of going on
        self._dispatch()

    def _leave_engine(self) -> None:
        engine, self.engine = self.engine, None
        if engine is not None:
            engine.outstanding -= 1

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.leave()

    def _stop_waiting(self) -> None:
        """The answer is wanted no more: not of the engine, and not of one that wakes."""
        self._drop_connection()
        if self.engine is not None:
            self.engine.breaker.leave()
        elif self._waits:
            self.route.queue.remove(self._go_on)

    # How it ends.

    def stream_head(self) -> bytes:
        return wire.stream_head(200, self._type, self._answer_headers(), chunked=self.is_chunked)

    def _answer_headers(self) -> bytes:
        receipt = self.receipt
        return b"%bx-request-id: %b\r\nx-receipt-id: %b\r\n" % (self.headers, receipt, receipt)

    def refuse(self, refused: Refusal, *, must_close: bool = False) -> None:
        """No engine was asked, or none has answered."""
        self.plane.metrics.refused(refused.code)
        self.client.write(wire.refuse(refused, self.headers + (wire.CLOSE if must_close else b"")))
        self._release(0)
        self._over()
        self.client.finished(must_close=must_close)

    def answer(self, status: int, body: bytes, kind: bytes = wire.JSON) -> None:
        """Something that no engine is needed for."""
        self.client.write(wire.answer(status, body, kind=kind, headers=self.headers))
        self._over()
        self.client.finished()

    def _give_up(
        self, refused: Refusal, outcome: int = flights.ENGINE_FAILED, *, must_close: bool = False
    ) -> None:
        """No engine can answer this: say so, in the stream when there is one."""
        relay = self.relay
        if isinstance(relay, Stream) and relay.has_sent:
            relay.fail(refused)
            self.plane.metrics.refused(refused.code)
            self._settle(outcome, relay.counts())
            self.client.finished(must_close=must_close or not self.is_chunked)
            return
        if self._slot is not None:
            self._slot.drop()
            self._slot = None
        self.refuse(refused, must_close=must_close)

    def _settle(self, outcome: int, counts: tuple[int, int, int] | None) -> None:
        plane, slot, key = self.plane, self._slot, self.key
        assert slot is not None
        assert key is not None
        if counts is None:
            plane.metrics.add("unmetered", self.route.row.slug)
            counts = (0, 0, 0)
        into, cached, out = counts if self.resumed is None else self.resumed.whole(counts)
        attos = self._way.attos
        if self._kind == "embedding":
            cost, whole = (into + cached) * attos[3], (0, 0, 0, into + cached)
        else:
            cost, whole = into * attos[0] + cached * attos[1] + out * attos[2], (into, cached, out, 0)
        slot.close(outcome, whole, _now_ns() // 1000)
        self._slot = None
        self._release(cost + ROUNDING)
        tokens = into + cached + out
        if tokens:
            plane.limiter.spend(key, tokens)
            self.route.tokens += tokens
        meter = plane.metrics.meter_of(self.route.row.slug)
        meter.outcomes[outcome] += 1
        meter.input += into + cached
        meter.output += out
        meter.timed(self._began, self._heard, _clock(), out if self.is_stream else 0)
        self._over()

    def _over(self) -> None:
        self.is_over = True
        self.relay = None  # which knows this request: neither is to wait for the garbage collector
        self._leave_engine()
        self.plane.exchanges.discard(self)

    def _release(self, spent: int) -> None:
        held, self._held = self._held, NOTHING
        lease = held.lease
        if lease is not None:
            lease.settle(held.amount, spent)

    def shrink(self, prompt: int) -> None:
        """The engine has told how long the prompt is: no more is held than the answer can still cost."""
        held = self._held
        if held.lease is None or not prompt or asks.answers_of(self.ask, self._kind) != 1:
            return  # free, or several answers, of whose prompts this is one
        bound, each = self._rest
        rest = max(self.route.row.context_length - prompt, 0) * each
        if self.engine is not None and self.engine.provider is not None:
            rest = held.amount  # its context is its own
        held.shrink(prompt * self._way.dearest + ROUNDING + min(held.amount - bound, rest))
