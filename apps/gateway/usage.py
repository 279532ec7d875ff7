"""How much an engine says it has used, read from its bytes without parsing the rest of them.

A quotation mark inside a JSON string is escaped, so `"usage":{` in an answer can only be the engine's own
field, whatever the model has been talked into writing.
"""

import msgspec

USAGE = b'"usage":{'
TIMINGS = b'"timings":{'
_LONGEST = 4096


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
    """What the last usage in the bytes says; None when there is none or it cannot be read."""
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
            if 0 <= cached <= whole and out >= 0:
                return whole - cached, cached, out
            return _bent(whole, cached, out)
        at = data.rfind(TIMINGS)
        if at >= 0:
            timings = _timings.decode(_object(data, at + len(TIMINGS) - 1))
            return max(timings.prompt_n, 0), max(timings.cache_n, 0), max(timings.predicted_n, 0)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
        return None
    return None


def _bent(whole: int, cached: int, out: int) -> Counts:
    """Numbers that cannot be, as near as can be."""
    whole = max(whole, 0)
    cached = min(max(cached, 0), whole)
    return whole - cached, cached, max(out, 0)


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
