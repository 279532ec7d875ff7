"""What a caller asks for: the few fields of a body that the gateway reads, and the few it changes."""

import re
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

import msgspec

from apps.gateway.plane.refusals import Refusal, refusal

Kind = Literal["chat", "completion", "embedding", "response"]
MOST_ASKED = 10_000_000
Count = Annotated[int, msgspec.Meta(ge=1, le=MOST_ASKED)]
# What an engine does for every token of an answer, while the others that it serves wait: within reason.
Few = Annotated[int, msgspec.Meta(ge=0, le=20)] | None
Words = (
    Annotated[str, msgspec.Meta(max_length=1000)] | Annotated[list[str], msgspec.Meta(max_length=64)] | None
)
# Beside the prompt's own bytes a chat template writes a few tokens around every message.
TEMPLATE = 64
# A letter by its number, which no program writes so.
_SPELLED = re.compile(rb"\\u00(?:5[fF]|6[1-9a-fA-F]|7[0-9aA])")
# Fields that only engines of our own understand.
OURS = ("timings_per_token", "cache_prompt", "cache_salt")
_USAGE_WISH = (
    b',"stream_options":{"include_usage":true,"continuous_usage_stats":true},"timings_per_token":true}'
)


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class Ask(msgspec.Struct):
    """A body's fields that decide; `max_tokens` is the older name of `max_completion_tokens`, the Responses
    API says `max_output_tokens`. llama.cpp has names of its own that outdo them and `n`: these are not taken.
    """

    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    max_output_tokens: Count | None = None
    n: Count | None = None
    best_of: Count | None = None
    temperature: float | None = None
    stop: Words = None
    samplers: Words = None
    logprobs: bool | Few = None
    top_logprobs: Few = None
    n_probs: Few = None
    n_predict: None = None
    n_cmpl: None = None
    tools: msgspec.Raw = msgspec.Raw(b"null")
    prompt: msgspec.Raw = msgspec.Raw(b"null")

    @property
    def wants_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    def most(self, kind: Kind) -> int | None:
        """How many tokens the caller wants at most; None when it did not say. When it has said so twice,
        engines differ in what they heed."""
        if kind == "response":
            return self.max_output_tokens and max(self.max_output_tokens, self.max_completion_tokens or 0)
        return max(self.max_tokens or 0, self.max_completion_tokens or 0) or None


_decoder = msgspec.json.Decoder(Ask)
# Numbers stay as they were spelled.
_anything = msgspec.json.Decoder(float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidOperation)


class Unreadable(Exception):
    """The body cannot be taken; `refusal` says why."""

    def __init__(self, refused: Refusal):
        super().__init__(refused.message)
        self.refusal = refused


def read_ask(body: bytes) -> Ask:
    """The body's fields; raises Unreadable."""
    try:
        if not body.isascii():
            body.decode()  # what is not read here is passed over unseen
        return _decoder.decode(body)
    except msgspec.ValidationError as error:
        field = str(error).rpartition("$.")[2].rstrip("`") if "$." in str(error) else None
        if field is None and "missing" in str(error):
            field = str(error).split("`")[1]
        raise Unreadable(refusal("invalid", f"The body is wrong: {error}.", param=field)) from None
    except _UNREADABLE:
        raise Unreadable(refusal("malformed")) from None


def answers_each(ask: Ask) -> int:
    """How many answers are asked for to a prompt."""
    return 1 if ask.n is None and ask.best_of is None else max(ask.n or 1, ask.best_of or 1)


def answers_of(ask: Ask, kind: Kind) -> int:
    """How many answers are asked for at once."""
    each = answers_each(ask)
    if kind != "completion" or bytes(ask.prompt).lstrip()[:1] != b"[":
        return each
    prompts = read_whole(bytes(ask.prompt))
    several = len(prompts) if prompts and not isinstance(prompts[0], int) else 1
    return each * max(several, 1)


def input_bound(body: bytes, context_length: int) -> int:
    """No fewer tokens than the prompt has: each has a byte at least, and no prompt exceeds the context."""
    bound = len(body) + TEMPLATE
    return context_length if bound > context_length or _names_more(body) else bound


def _names_more(body: bytes) -> bool:
    """Whether it names what has no bytes here: a picture, a film, a sound, or what was said before. Whoever
    spells letters by their numbers may do so to hide such a name."""
    is_plain = b'_url"' in body or b'_response_id"' in body
    return is_plain or (b"\\u00" in body and _SPELLED.search(body) is not None)


def ask_for_usage(body: bytes, ask: Ask) -> bytes:
    """The body of a stream, asking the engine to say how much it uses; vLLM's and llama.cpp's ways."""
    if ask.stream_options is None:
        return body.rstrip()[:-1] + _USAGE_WISH
    options = {"include_usage": True, "continuous_usage_stats": True}
    return changed(body, {"stream_options": options, "timings_per_token": True})


def apart(team: str) -> bytes:
    """The end of a body for an engine that several teams share.

    Engines tell how much of a prompt they had in their cache, and are quicker then: whoever guesses a prompt
    of another team could see that the guess is right. vLLM keeps a cache for each salt; llama.cpp, which
    cannot, reads no cache. What is said last counts.
    """
    return b',"cache_prompt":false,"cache_salt":"%b"}' % team.encode()


def limit_tokens(body: bytes, ask: Ask, kind: Kind, most: int) -> bytes:
    """The body with at most so many tokens asked for, under whichever names it used."""
    fields = {"max_output_tokens" if kind == "response" else "max_tokens": most}
    if ask.max_completion_tokens is not None:
        fields["max_completion_tokens"] = most
    return changed(body, fields)


def changed(body: bytes, fields: dict[str, Any]) -> bytes:
    """The body with these fields; the rest is as it was."""
    whole = read_whole(body)
    whole.update(fields)
    return write_whole(whole)


def read_whole(body: bytes) -> Any:
    """All of a body, to change it; raises Unreadable, for some of it nobody has looked at before."""
    try:
        return _anything.decode(body)
    except _UNREADABLE:
        raise Unreadable(refusal("malformed")) from None


def write_whole(whole: Any) -> bytes:
    """The body that was changed."""
    return _encoder.encode(whole)
