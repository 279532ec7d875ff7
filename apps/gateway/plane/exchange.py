"""One request on its way in: who asks, for what, how often, and who pays. Callbacks all the way."""

import hmac
import logging
import time

from apps.core.proxies import seen_by_proxies
from apps.gateway import flights, messages
from apps.gateway.plane import asks, pages
from apps.gateway.plane.faults import contained
from apps.gateway.plane.limits import Verdict
from apps.gateway.plane.refusals import Refusal, refusal
from apps.gateway.plane.relay import Stream
from apps.gateway.plane.serving import Serving
from apps.gateway.plane.tables import Key
from apps.gateway.plane.tellers import ROUNDING, Held

log = logging.getLogger(__name__)

FIRST_BYTE_SECONDS = 300.0
# An answer that is no stream has its first byte when it is complete. OpenAI's clients wait no longer.
WHOLE_SECONDS = 600.0
BETWEEN_SECONDS = 60.0
WAKE_SECONDS = 180.0
MONEY_SECONDS = 20.0
_SHORT = frozenset({"payment_required", "insufficient_quota"})
_KINDS: dict[bytes, asks.Kind] = {
    b"/v1/chat/completions": "chat",
    b"/v1/completions": "completion",
    b"/v1/embeddings": "embedding",
    b"/v1/responses": "response",
}


def _lacking(row: messages.RouteRow, kind: asks.Kind) -> Refusal:
    """Why the endpoint is not asked for this kind of answer."""
    if kind == "embedding" and not row.only_embeds:
        return refusal("not_supported", "This model does not answer /v1/embeddings.")
    if kind != "embedding" and row.only_embeds:
        # Its engines would answer that they are broken, and their circuits would open for everybody.
        return refusal("not_supported", "This model answers /v1/embeddings only.")
    return refusal("no_price")


class Exchange(Serving):
    """A request and its answer."""

    __slots__ = ()

    # Who asks, and for what.

    @contained
    def begin(self) -> None:
        head = self.head
        path = head.target
        kind = _KINDS.get(path)
        if kind is None:
            path = path.partition(b"?")[0]
            kind = _KINDS.get(path)
        self.path = path
        if kind is None:
            pages.serve(self)
        elif head.method != b"POST":
            self.refuse(refusal("method_not_allowed").with_headers(b"allow: POST\r\n"))
        elif self.identify() is not None:
            self._infer(kind)

    def identify(self) -> Key | None:
        """Whose key it is; refuses the request when it is nobody's."""
        plane = self.plane
        key = self.key = plane.tables.key_of(self.head.authorization)
        if key is None:
            code = "bad_key" if self.head.authorization else "no_key"
            self.refuse(refusal(code if plane.tables.is_filled else "starting"))
            return None
        if key.is_plain:
            return key
        refused = key.refusal(time.time())
        if refused is None and key.networks and not key.may_come_from(self._ip()):
            refused = refusal("address_not_allowed")
        if refused is not None:
            self.refuse(refused)
            return None
        return key

    def _ip(self) -> str:
        """The caller: whom the portal names, which proves itself; whom the proxies saw; or the peer."""
        token, _blank, address = (self.head.peer or b"").partition(b" ")
        if self.plane.peer_token and hmac.compare_digest(token, self.plane.peer_token):
            return address.decode("ascii", "replace")
        return seen_by_proxies(self.head.forwarded, self.plane.trusted_proxies) or self.client.ip

    def _infer(self, kind: asks.Kind) -> None:
        assert self.key is not None
        ask = self.ask = asks.read_ask(self._body)
        plane = self.plane
        way = plane.tables.way_for(self.key, ask.model)
        if way is None:
            self.refuse(refusal("model_not_found", f"There is no model `{ask.model[:80]}` for this key."))
            return
        route = way.route
        if kind not in way.kinds:
            self.refuse(_lacking(route.row, kind))
            return
        self._kind, self._way, self.route = kind, way, route
        route.asked += 1
        plane.exchanges.add(self)
        if plane.limiter.passes(self.key, self._began):
            self._hold()
        else:
            plane.limiter.check(self.key, self._limited)

    @contained
    def _limited(self, verdict: Verdict) -> None:
        if self.is_over:
            return
        self.headers = verdict.headers
        if verdict.refusal is not None:
            self.refuse(verdict.refusal)
            return
        self._hold()

    # What it may cost.

    def _hold(self) -> None:
        way, kind, body = self._way, self._kind, self._body
        if way.is_free:
            self._send_on()
            return
        assert self.key is not None
        teller, context = self.plane.teller_of(self.key), self.route.row.context_length
        if kind == "embedding":
            most = (len(body) + asks.input_bound(b"", context)) * way.attos[3] + ROUNDING
            self._most, self._rest = most, (0, 1)
            teller.hold(most, most, self._paid)
            return
        ask = self.ask
        answers = asks.answers_of(ask, kind)
        if answers > 1 and self.route.row.counts_one:
            words = "This model gives one answer to a request: its engine does not count the others."
            self.refuse(refusal("invalid", words, param="prompt" if asks.answers_each(ask) == 1 else "n"))
            return
        bound = asks.input_bound(body, context)
        if answers > 1:
            bound = max(bound, len(body) + asks.TEMPLATE * answers)
        if self.route.external:
            bound = max(bound, len(body) + asks.TEMPLATE)  # the context of others is their own
        prompt, each = bound * way.dearest + ROUNDING, answers * way.attos[2]
        most = prompt + min(ask.most(kind) or context, context) * each
        self._most, self._rest = most, (prompt, each)
        held = teller.take(most, self._began)
        if held is not None:
            self._held = held
            self._send_on()
        else:
            teller.hold(most, min(most, prompt + each), self._paid)

    @contained
    def _paid(self, held: Held | None, code: str) -> None:
        if held is None:
            if not self.is_over:
                assert self.key is not None
                words = self.plane.teller_of(self.key).words if code in _SHORT else ""
                self.refuse(refusal(code, words))
            return
        self._held = held
        if self.is_over:
            self._release(0)
            return
        if held.amount < self._most:
            prompt, each = self._rest
            most = max(1, (held.amount - prompt) // each) if each else 1
            self._body = asks.limit_tokens(self._body, self.ask, self._kind, most)
            self.headers += b"x-hostedai-max-tokens: %d\r\n" % most
        self._send_on()

    # Whether the caller takes what is said.

    def pause(self) -> None:
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        self._silent_since = 0.0
        if self._connection is not None:
            self._connection.resume()

    # Ended from outside.

    def cut(self, refused: Refusal, outcome: int = flights.CUT) -> None:
        """End it now: the key, the team or the model may not any more, or it takes too long."""
        if self.is_over:
            return
        self._stop_waiting()
        self._leave_engine()
        self._give_up(refused, outcome, must_close=True)

    @contained
    def abandon(self) -> None:
        """The caller has gone: stop the engine, settle what was passed on."""
        if self.is_over:
            return
        self._stop_waiting()
        relay = self.relay
        if self._slot is not None:
            has_all = isinstance(relay, Stream) and relay.is_done  # many leave at the last event
            outcome = flights.COMPLETED if has_all else flights.CLIENT_GONE
            self._settle(outcome, relay.counts() if relay else (0, 0, 0))
        else:
            self._release(0)
            self._over()

    def on_broken(self) -> None:
        """A fault of ours, met in what an engine says or does."""
        self.end_with(refusal("internal_error"))

    def end_with(self, refused: Refusal) -> None:
        """It cannot go on. Whatever else fails of it now, it holds nothing any more."""
        if self.is_over:
            return
        try:
            if self._slot is None:
                self.refuse(refused)
            else:
                self.cut(refused)
        except Exception:
            log.exception("end_broke receipt=%s", self.receipt.decode())
            self._drop_connection()
            if self._slot is not None:
                self._slot.drop()
            self._release(0)
            self._over()
            self.client.finished(must_close=True)

    # Looked at every second, and when the tables have changed.

    @contained
    def look(self, now: float) -> None:
        """Has it waited too long, or has its key come to an end?"""
        if self.key is not None and not self.key.is_plain:
            self.review()
        if self._waits and now - self._waits > WAKE_SECONDS:
            self.cut(refusal("no_engine"), flights.TIMEOUT)
        elif self.engine is None and not self._waits:
            if now - self._began > MONEY_SECONDS:
                self.cut(refusal("billing_away"), flights.TIMEOUT)
        elif self.engine is not None:
            # Whatever happens sets it to zero; so it is the time since the first look at the silence, of the
            # engine, or of a caller that does not take what it is told: engines are not kept for those.
            self._silent_since = self._silent_since or now
            patience = self._patience()
            if now - self._silent_since <= patience:
                return
            if self.relay is not None and self.client.is_paused:
                self.cut(refusal("not_taken"), flights.TIMEOUT)
            elif now - self.engine.spoke_at > patience:
                self._engine_hangs()
            else:
                self.cut(refusal("engine_slow"), flights.TIMEOUT)

    def _patience(self) -> float:
        """For how many seconds nothing may happen."""
        if self.relay is not None:
            return BETWEEN_SECONDS
        return FIRST_BYTE_SECONDS if self.is_stream else WHOLE_SECONDS

    @contained
    def review(self) -> None:
        """The tables have changed: may this go on?"""
        key = self.key
        if key is None or self.is_over:
            return
        now = self.plane.tables.keys.get(key.row.hash)
        refused = refusal("bad_key") if now is None else now.refusal(time.time())
        if refused is None and now is not None and now is not key:
            self.key = now
        if refused is None and now is not None:
            route = self.plane.tables.route_for(now, self.ask.model)
            if route is None or route.row.endpoint_id != self.route.row.endpoint_id:
                refused = refusal("model_not_found", "This model may no longer be used.")
            elif self._is_revoked(route.row):
                refused = refusal("model_revoked")
        if refused is not None:
            self.cut(refused)

    def _is_revoked(self, row: messages.RouteRow) -> bool:
        """Whether what answers, or would when it has woken, may be served no more."""
        if self.engine is None:
            return bool(self._waits) and row.is_revoked and not row.replicas
        return self.engine.row.id in row.revoked
