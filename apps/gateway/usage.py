"""How much an engine says it has used, read from its bytes without parsing the rest of them.

A quotation mark inside a JSON string is escaped, so `"usage":{` in an answer can only be the engine's own
field, whatever the model has been talked into writing.
"""

import msgspec

USAGE = b'"usage":{'
TIMINGS = b'"timings":{'
_LONGEST = 4096
# The spool has four bytes for a count; no engine says more in earnest.
MOST = 2**32 - 1


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    """The Responses API has names of its own for the same."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _Details | None = None


class _Timings(msgspec.Struct):
    """llama.cpp's, in every chunk when asked for."""

    prompt_n: int = 0
    predicted_n: int = 0
    cache_n: int = 0


Counts = tuple[int, int, int]  # input that was not cached, input that was, output

_usage = msgspec.json.Decoder(_Usage)
_timings = msgspec.json.Decoder(_Timings)


def counts_in(data: bytes) -> Counts | None:
    """What the last usage in the bytes says; None when there is none that can be read and believed."""
    try:
        at = data.rfind(USAGE)
        if at >= 0:
            usage = _usage.decode(_object(data, at + len(USAGE) - 1))
            whole = usage.input_tokens if usage.prompt_tokens is None else usage.prompt_tokens
            if whole is None:
                return None
            details = usage.prompt_tokens_details or usage.input_tokens_details
            cached = (details.cached_tokens or 0) if details is not None else 0
            out = usage.completion_tokens or usage.output_tokens or 0
            return _believed(whole, cached, out)
        at = data.rfind(TIMINGS)
        if at >= 0:
            timings = _timings.decode(_object(data, at + len(TIMINGS) - 1))
            cached = timings.cache_n
            return _believed(timings.prompt_n + cached, cached, timings.predicted_n)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
        return None
    return None


class _Response(msgspec.Struct):
    usage: msgspec.Raw = msgspec.Raw()


class _Event(msgspec.Struct):
    """Of the Responses API: beside the usage it repeats the request, in whose tools anything may stand."""

    response: _Response | None = None


_event = msgspec.json.Decoder(_Event)


def own_only(events: bytes) -> bytes:
    """The same events with no usage in them but the last that an event says of its own response."""
    if USAGE not in events and TIMINGS not in events:
        return events
    own = [found for line in events.split(b"\n") if USAGE in line and (found := _own_of(line))]
    return events.replace(USAGE, b"{").replace(TIMINGS, b"{") + (own[-1] if own else b"")


def _own_of(line: bytes) -> bytes:
    """The usage of the response that the event tells of, as it is spelled; empty when it tells none."""
    try:
        response = _event.decode(line.removeprefix(b"data:")).response
    except (msgspec.DecodeError, UnicodeDecodeError):
        return b""
    said = b"" if response is None else bytes(response.usage)
    return USAGE[:-1] + said if said[:1] == b"{" else b""


def _believed(whole: int, cached: int, out: int) -> Counts | None:
    """The numbers, or the nearest to them that can be; None when nothing near can."""
    if whole > MOST or out > MOST:
        return None
    if whole < 0 or out < 0 or not 0 <= cached <= whole:
        whole, out = max(whole, 0), max(out, 0)
        cached = min(max(cached, 0), whole)
    return whole - cached, cached, out


def spelled(counts: Counts) -> bytes:
    """The counts as an engine says them."""
    into, cached, out = counts
    return (
        b'"usage":{"prompt_tokens":%d,"completion_tokens":%d,"prompt_tokens_details":{"cached_tokens":%d}}'
        % (into + cached, out, cached)
    )


def _object(data: bytes, begin: int) -> bytes:
    """The object that begins there, to its closing brace; empty when it does not end."""
    end = data.find(b"}", begin)
    if data.find(b"{", begin + 1, end) < 0:
        return data[begin : end + 1]  # nothing nested
    depth, end = 0, begin
    last = min(len(data), end + _LONGEST)
    while end < last:
        letter = data[end]
        if letter == 0x7B:
            depth += 1
        elif letter == 0x7D:
            depth -= 1
            if depth == 0:
                return data[begin : end + 1]
        end = _next_brace(data, end + 1, last)
    return b""


def _next_brace(data: bytes, at: int, last: int) -> int:
    opened, closed = data.find(b"{", at, last), data.find(b"}", at, last)
    if opened < 0 or closed < 0:
        return max(opened, closed) if max(opened, closed) >= 0 else last
    return min(opened, closed)


def pieces_in(data: bytes) -> int:
    """How many pieces of text these events carry, for engines that do not say what they use."""
    if b'"type":"response.' in data:  # the Responses API tells the whole text again at the end
        return data.count(b'"delta":"') - data.count(b'"delta":""')
    found = data.count(b'"content":"') - data.count(b'"content":""')
    found += data.count(b'"text":"') - data.count(b'"text":""')
    return found + data.count(b'"arguments":"') - data.count(b'"arguments":""')
