"""How an engine's answer becomes the caller's: whole, or event by event."""

from typing import Protocol

import msgspec

from apps.gateway import usage
from apps.gateway.flights import TAIL_MOST, Slot
from apps.gateway.plane import wire
from apps.gateway.plane.plane import Caller
from apps.gateway.plane.refusals import Refusal, refusal

MOST_ANSWER = 64 * 1024 * 1024
MOST_EVENT = 1024 * 1024
# What an engine says that does not know the address, and llama.cpp when it was started for something else.
_UNKNOWN, _LACKS = frozenset({404, 405}), 501
_USAGE, _TIMINGS = usage.USAGE, usage.TIMINGS
# As vLLM and llama.cpp say that a prompt does not fit; clients look for OpenAI's code.
_TOO_LONG = ("maximum context length", "exceeds the available context size", "is too large to process")
# llama.cpp's only 500 that is about itself.
_ITS_OWN = "Compute error."


class Answering(Protocol):
    """Whose request it is that is answered."""

    client: Caller
    is_chunked: bool
    path: bytes

    def stream_head(self) -> bytes:
        """The head of an answer whose length is not known."""

    def shrink(self, prompt: int) -> None:
        """The prompt has so many tokens."""

    def note_first(self) -> int:
        """The first byte is sent; answers the µs until then."""


class Whole:
    """An answer that is kept until it is complete: until then another engine can still give it."""

    __slots__ = ("_exchange", "_parts", "_size")

    def __init__(self, exchange: Answering):
        self._exchange = exchange
        self._parts: list[bytes] = []
        self._size = 0

    has_sent = False

    def take(self, data: bytes) -> bool:
        """A part of the body; False when there is too much of it."""
        self._parts.append(data)
        self._size += len(data)
        return self._size <= MOST_ANSWER

    def end(self, status: int, kind: bytes, headers: bytes) -> usage.Counts | None:
        """Pass it on; answers what the engine says it has used."""
        parts = self._parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        if status >= 400:
            path = self._exchange.path
            lacks = status == _LACKS or (status in _UNKNOWN and path == b"/v1/responses")
            refused = _lacking(path) if lacks else _reshaped(status, body)
            self._exchange.client.write(wire.refuse(refused, headers))
            return 0, 0, 0
        self._exchange.client.write(wire.answer(status, body, kind=kind, headers=headers))
        return usage.counts_in(body)

    def refuses(self) -> bool:
        """Is a 500 about the request? llama.cpp refuses so what it finds out late: an input that is too long,
        a picture, tools without a name. It is well, and the next engine would say the same."""
        try:
            said = _errors.decode(b"".join(self._parts)).error
        except _UNREADABLE:
            return False
        return isinstance(said, _Detail) and said.is_llamas and said.message != _ITS_OWN

    def counts(self) -> usage.Counts | None:
        """What the caller has got of it: nothing."""
        return 0, 0, 0


class _Detail(msgspec.Struct):
    message: str = ""
    code: str | int | None = None
    type: str | None = None

    @property
    def is_llamas(self) -> bool:
        return self.code == 500 and self.type == "server_error"


class _EngineError(msgspec.Struct):
    """llama.cpp's and OpenAI's nest it, older vLLM's do not."""

    error: _Detail | str | None = None
    message: str = ""
    detail: str | None = None


_errors = msgspec.json.Decoder(_EngineError)
_UNREADABLE = (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError)


def _lacking(path: bytes) -> Refusal:
    return refusal("not_supported", f"This model does not answer {path.decode()}.")


def _reshaped(status: int, body: bytes) -> Refusal:
    """An engine's refusal of a request, in our shape."""
    words = ""
    try:
        said = _errors.decode(body)
        nested = said.error.message if isinstance(said.error, _Detail) else said.error
        words = nested or said.message or said.detail or ""
    except _UNREADABLE:
        pass
    words = words[:1000] or "The engine refused the request."
    code = "context_length_exceeded" if any(sign in words for sign in _TOO_LONG) else "engine_refused"
    return Refusal(400 if status == 500 else status, "invalid_request_error", code, words)


class Stream:
    """Server-sent events, passed on as whole events and otherwise untouched.

    What the engine says of its use is noted in the spool with each read, before the caller gets the bytes;
    the event that holds nothing but the usage is left out when the caller did not ask for it.
    """

    __slots__ = (
        *(
            "_exchange",
            "_hides_usage",
            "_partial",
            "_said",
            "_slot",
            "events",
            "has_sent",
            "is_done",
            "pieces",
        ),
        "keeps",
    )

    def __init__(self, exchange: Answering, slot: Slot, *, hides_usage: bool, keeps: bool):
        self._exchange, self._slot, self._hides_usage = exchange, slot, hides_usage
        self._partial = self._said = b""
        self.has_sent = self.is_done = False
        self.pieces = 0
        self.keeps = keeps
        self.events: list[bytes] = []  # what was passed on, when another engine may have to go on from it

    def take(self, data: bytes) -> bool:
        """What was read; False when an event does not end."""
        if self._partial:
            data = self._partial + data
            self._partial = b""
        if data[-2:] != b"\n\n":
            cut = max(data.rfind(b"\n\n") + 2, data.rfind(b"\r\n\r\n") + 4)
            if cut < 4:
                self._partial = data
                return len(data) <= MOST_EVENT
            data, self._partial = data[:cut], data[cut:]
        self._note(data)
        if self._hides_usage and b'"choices":[]' in data:
            data = without_usage(data)
        if data:
            self._send(data)
        return True

    def _note(self, data: bytes) -> None:
        at = data.rfind(_USAGE)
        if at < 0:
            at = data.rfind(_TIMINGS)
        if at >= 0:
            if not self._said:
                told = usage.counts_in(data)
                self._exchange.shrink(told[0] + told[1] if told is not None else 0)
            said = data[at : at + TAIL_MOST]
            if len(said) == TAIL_MOST and (whole := usage.counts_in(data[at:])) is not None:
                said = usage.spelled(whole)  # some say a great deal more of it
            self._said = said
            self._slot.said(said)
        else:
            self.pieces += usage.pieces_in(data)
            self._slot.passed(self.pieces)
        if not self.is_done and b"data: [DONE]" in data:
            self.is_done = True
        if self.keeps:
            self.events.append(data)

    def _send(self, data: bytes) -> None:
        exchange = self._exchange
        framed = wire.chunk(data) if exchange.is_chunked else data
        if not self.has_sent:
            self.has_sent = True
            self._slot.begun(exchange.note_first())
            framed = exchange.stream_head() + framed
        exchange.client.write(framed)

    def end(self, _status: int, _kind: bytes, _headers: bytes) -> usage.Counts | None:
        """The engine has said everything."""
        if self._partial:
            data, self._partial = self._partial, b""
            self._note(data)
            self._send(data)
        if not self.has_sent:
            self._send(wire.SSE_DONE)
        if self._exchange.is_chunked:
            self._exchange.client.write(wire.LAST_CHUNK)
        return self.counts()

    def fail(self, refused: Refusal) -> None:
        """Say in the stream that it ends early."""
        self._send(wire.sse_error(refused))
        if self._exchange.is_chunked:
            self._exchange.client.write(wire.LAST_CHUNK)

    def counts(self) -> usage.Counts | None:
        """What the caller has got: as the engine said last, else as many tokens as pieces."""
        said = usage.counts_in(self._said) if self._said else None
        if said is not None:
            return said
        return (0, 0, self.pieces) if self.pieces else None


class ResponseStream(Stream):
    """Events of the Responses API, which repeat what the caller has said."""

    __slots__ = ()

    def _note(self, data: bytes) -> None:
        super()._note(usage.own_only(data))


def without_usage(data: bytes) -> bytes:
    """The events without those that have no choices."""
    events = data.split(b"\n\n")
    return b"\n\n".join(event for event in events if b'"choices":[]' not in event)
