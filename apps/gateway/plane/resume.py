"""Going on with an answer elsewhere when its engine dies in the middle.

Only for requests that say so (`X-Hostedai-Resume: 1`) or whose answer is determined (temperature 0), with one
answer and without tools. The new engine is given what the caller has already been sent and continues it; the
caller sees one answer and pays for its tokens once.
"""

from collections.abc import Iterator
from typing import Any, Protocol

import msgspec

from apps.gateway import usage
from apps.gateway.http import Head
from apps.gateway.plane import asks
from apps.gateway.plane.asks import Ask
from apps.gateway.plane.relay import Stream

_DONE = b"[DONE]"


class _Delta(msgspec.Struct):
    role: str | None = None
    content: str | None = None


class _Choice(msgspec.Struct):
    """A chat's has a delta, a completion's a text."""

    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Event(msgspec.Struct):
    id: str | None = None
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = msgspec.Raw()


_json = msgspec.json.Decoder()
_typed = msgspec.json.Decoder(_Event)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Resumable(Protocol):
    """A request that may be continued."""

    ask: Ask
    head: Head
    path: bytes
    first_body: bytes
    resumed: "Resumed | None"


def is_possible(exchange: Resumable) -> bool:
    """Whether this request may be continued elsewhere."""
    ask = exchange.ask
    if (
        bytes(ask.tools) != b"null"
        or (ask.n or 1) > 1
        or (ask.best_of or 1) > 1
        or exchange.path not in (b"/v1/chat/completions", b"/v1/completions")
    ):
        return False
    wish = exchange.head.wants
    return wish == b"1" if wish is not None else ask.temperature == 0


def after(exchange: Resumable, stream: Stream) -> "Resumed | None":
    """How to go on after what the caller has been sent; None when that cannot be done."""
    if not stream.keeps:
        return None
    before = exchange.resumed
    try:
        events = [_typed.decode(one) for one in _objects(b"".join(stream.events))]
    except _UNREADABLE:
        return None
    text, told = "".join(map(_piece_of, events)), stream.counts()
    if not events or told is None or (before is None and any(map(_is_finished, events))):
        return None
    try:
        body = _continued(exchange, text, told[2])
    except (*_UNREADABLE, KeyError, AttributeError):
        return None
    return None if body is None else Resumed(body, told, events[0].id or "")


class Resumed:
    """The rest of an answer, told as if the first engine were still telling it."""

    def __init__(self, body: bytes, told: usage.Counts, answer_id: str):
        self.body = body
        self._told = told
        self._id = answer_id
        self._partial = b""

    def translated(self, data: bytes) -> bytes:
        """The new engine's events under the first one's name, counting on from its count."""
        data = self._partial + data
        cut = data.rfind(b"\n\n") + 2
        if cut < 2:
            self._partial = data
            return b""
        data, self._partial = data[:cut], data[cut:]
        return b"".join(map(self._event, data[:-2].split(b"\n\n")))

    def _event(self, raw: bytes) -> bytes:
        text = raw.removeprefix(b"data: ").strip()
        if text == _DONE or not text.startswith(b"{"):
            return raw + b"\n\n"
        try:
            event, typed = _json.decode(text), _typed.decode(text)
        except _UNREADABLE:
            return raw + b"\n\n"
        if _is_greeting(typed):
            return b""
        event["id"] = self._id
        event.pop("timings", None) if "usage" in event else None
        for name in ("usage", "timings"):
            if isinstance(event.get(name), dict):
                event["usage"] = self._counted(usage.counts_in(_snippet(name, event[name])) or (0, 0, 0))
        event.pop("timings", None)
        return b"data: %b\n\n" % msgspec.json.encode(event)

    def _counted(self, counts: usage.Counts) -> dict[str, Any]:
        into, cached = self._prompt(counts)
        out = self._told[2] + counts[2]
        return {
            "prompt_tokens": into + cached,
            "completion_tokens": out,
            "total_tokens": into + cached + out,
            "prompt_tokens_details": {"cached_tokens": cached},
        }

    def _prompt(self, counts: usage.Counts) -> tuple[int, int]:
        """The first engine's count of the prompt; when it had told none, the new one's without the text
        that it was given to continue."""
        if self._told[0] or self._told[1]:
            return self._told[0], self._told[1]
        return max(0, counts[0] + counts[1] - self._told[2]), 0

    def whole(self, counts: usage.Counts) -> usage.Counts:
        """What the whole answer used: the prompt once. Events already count on; bare pieces do not."""
        if counts[0] or counts[1]:
            return counts
        return self._told[0], self._told[1], max(counts[2], self._told[2])


def _snippet(name: str, value: Any) -> bytes:
    return b'"%b":%b' % (name.encode(), msgspec.json.encode(value))


def _objects(data: bytes) -> Iterator[bytes]:
    for raw in data.split(b"\n\n"):
        text = raw.removeprefix(b"data: ").strip()
        if text.startswith(b"{"):
            yield text


def _piece_of(event: _Event) -> str:
    for choice in event.choices or ():
        return (choice.text if choice.delta is None else choice.delta.content) or ""
    return ""


def _is_finished(event: _Event) -> bool:
    return any(choice.finish_reason for choice in event.choices or ())


def _is_greeting(event: _Event) -> bool:
    """The first event of a chat says only who speaks."""
    delta = event.choices[0].delta if event.choices else None
    return delta is not None and delta.role is not None and not (delta.content or bytes(event.usage))


def _continued(exchange: Resumable, text: str, told: int) -> bytes | None:
    """The request for the rest of the answer; None when nothing is left to be said."""
    body = asks.read_whole(exchange.first_body)
    for name in ("max_tokens", "max_completion_tokens"):
        if isinstance(body.get(name), int):
            body[name] -= told
            if body[name] < 1:
                return None
    if exchange.path == b"/v1/completions":
        if not isinstance(body.get("prompt"), str):
            return None
        body["prompt"] += text
    else:
        body["messages"].append({"role": "assistant", "content": text})
        body |= {"continue_final_message": True, "add_generation_prompt": False}
    return asks.write_whole(body)
