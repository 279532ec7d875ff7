"""HTTP/1.1 as the gateway takes it from callers: llhttp, strict, and stricter where llhttp is patient.

Nothing here knows Django, sockets or the rest of the gateway: bytes in, whole requests out.
"""

from typing import Protocol

import httptools

# A request's line and headers together, and its body, unless told otherwise.
MOST_HEAD = 32 * 1024
MOST_HEADERS = 100
MOST_BODY = 8 * 1024 * 1024
# What somebody without a key may make us keep in memory.
MOST_BODY_OF_STRANGERS = 64 * 1024
# Heads that are remembered, and how long they may be.
MOST_KNOWN, MOST_KNOWN_HEAD = 4096, 2048


_LENGTH = b"\r\n\r\n"  # stands for the length in a head that is remembered: nothing else in one can


class Malformed(Exception):
    """The bytes are no request that we take; the connection cannot be used any further."""

    def __init__(self, status: int, code: str, message: str):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def split_length(data: bytes) -> tuple[bytes, int, int] | None:
    """The head at the beginning of the data without the digits of its length, the length, and where the body
    begins; None when there is no whole head or it gives no plain length.

    Two heads that differ in nothing but these digits mean the same but for the length: who has read one with
    llhttp knows the other.
    """
    end = data.find(b"\r\n\r\n", 0, MOST_KNOWN_HEAD)
    if end < 0:
        return None
    before, name, rest = data[:end].partition(b"\r\nContent-Length: ")
    if not name:
        before, name, rest = before.partition(b"\r\ncontent-length: ")
    digits, _line, after = rest.partition(b"\r\n")
    if not digits.isdigit() or len(digits) > 9:
        return None
    return before + _LENGTH + after, int(digits), end + 4


class Head:
    """What a request says before its body; only the headers that the gateway asks for are kept."""

    __slots__ = (
        "authorization",
        "expects",
        "forwarded",
        "is_old",
        "length",
        "method",
        "peer",
        "session",
        "target",
        "wants",
    )

    def __init__(self) -> None:
        self.method = b""
        self.target = b""
        self.authorization: bytes | None = None
        self.length = -1
        self.expects = False
        self.is_old = False  # HTTP/1.0: no chunks in the answer
        self.forwarded = b""  # X-Forwarded-For, all of them in order
        self.peer: bytes | None = None
        self.session: bytes | None = None
        self.wants: bytes | None = None


class Sink(Protocol):
    """Who gets what the parser finds."""

    def on_head(self, head: Head) -> int:
        """The head is complete; answers how long the body may be. Not asked again when the head is known and
        the body has come with it and is one that everybody may send."""

    def on_request(self, head: Head, body: bytes, *, keep_alive: bool) -> None:
        """A whole request, in the order in which they came."""


class RequestParser:
    """One connection's requests. `feed` raises Malformed, after which nothing more may be fed.

    `waits_for` says what is missing: nothing, the rest of a head, or the rest of a body.

    Callers say the same with every request. A request that came in one piece leaves its head behind, and when
    the same bytes come again they are not parsed again.
    """

    __slots__ = (
        *("_body", "_chunked", "_fed", "_head", "_head_size", "_headers", "_hosts", "_in_body", "_last"),
        *("_most", "_parser", "_size", "_sink"),
    )

    def __init__(self, sink: Sink):
        self._sink = sink
        self._parser = httptools.HttpRequestParser(self)
        self._head: Head | None = None
        self._last: Head | None = None  # of the request that ended last, when it may be remembered
        self._in_body = False
        self._reset()

    def _reset(self) -> None:
        self._body: list[bytes] = []
        self._size = self._fed = self._headers = self._hosts = self._head_size = 0
        self._most = MOST_BODY
        self._chunked = False

    @property
    def waits_for(self) -> str:
        if self._head is None:
            return "" if not self._fed else "head"
        return "body" if self._in_body else "head"

    def feed(self, data: bytes) -> None:
        """Take what the socket gave; whole requests go to the sink before this returns."""
        parts = split_length(data) if self._head is None and not self._fed else None
        if parts is not None and self._feed_known(data, parts):
            return
        if not self._in_body:
            self._fed += len(data)
        self._last = None
        self._parse(data)
        head = self._last
        if parts is not None and head is not None and len(data) == parts[2] + parts[1]:
            if len(_known) >= MOST_KNOWN:
                _known.clear()
            _known[parts[0]] = head

    def _feed_known(self, data: bytes, parts: tuple[bytes, int, int]) -> bool:
        """Whether the data is one whole request with a head that is known."""
        key, length, begin = parts
        head = _known.get(key)
        if head is None or len(data) != begin + length:
            return False
        head.length = length
        if length > MOST_BODY_OF_STRANGERS and length > (most := self._sink.on_head(head)):
            raise _too_large(most)
        self._sink.on_request(head, data[begin:], keep_alive=True)
        return True

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise Malformed(400, "malformed", "This connection cannot be upgraded.") from None
        except httptools.HttpParserCallbackError as error:
            refusal = error.__context__
            if isinstance(refusal, Malformed):
                raise refusal from None
            raise
        except httptools.HttpParserError as error:
            raise Malformed(400, "malformed", f"The request is malformed: {error}.") from None
        if self._fed > MOST_HEAD and not self._in_body and self._head is not None:
            raise _head_too_large()

    # What llhttp calls.

    def on_message_begin(self) -> None:
        self._head = Head()

    def on_url(self, url: bytes) -> None:
        head = self._head
        assert head is not None
        head.target += url
        if len(head.target) > MOST_HEAD:
            raise _head_too_large()

    def on_header(self, name: bytes, value: bytes) -> None:
        head = self._head
        assert head is not None
        self._headers += 1
        self._head_size += len(name) + len(value)
        if self._headers > MOST_HEADERS or self._head_size > MOST_HEAD:
            raise _head_too_large()
        reader = _READERS.get(len(name))
        if reader is not None and not self._in_body:
            reader(self, head, name.lower(), value)

    def on_headers_complete(self) -> None:
        head, parser = self._head, self._parser
        assert head is not None
        version = parser.get_http_version()
        if version not in _VERSIONS:
            raise Malformed(505, "http_version", "HTTP/1.1 and HTTP/1.0 are spoken here.")
        if self._hosts != 1 and version == "1.1":
            raise Malformed(400, "malformed", "A request has exactly one Host header.")
        if self._chunked and version == "1.0":
            raise Malformed(400, "malformed", "HTTP/1.0 knows no chunked bodies.")
        if parser.should_upgrade():
            raise Malformed(400, "malformed", "This connection cannot be upgraded.")
        head.method, head.is_old = parser.get_method(), version == "1.0"
        self._in_body = True
        self._most = self._sink.on_head(head)
        if head.length > self._most:
            raise _too_large(self._most)

    def on_body(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._most:
            raise _too_large(self._most)
        self._body.append(data)

    def on_message_complete(self) -> None:
        head, body = self._head, self._body
        assert head is not None
        self._head, self._in_body = None, False
        whole = body[0] if len(body) == 1 else b"".join(body)
        keep_alive = self._parser.should_keep_alive()
        is_plain = keep_alive and not (self._chunked or head.expects or head.is_old)
        self._last = head if is_plain else None
        self._reset()
        if not keep_alive:
            self._fed = 1  # whatever else comes is not known by its head: llhttp refuses it
        self._sink.on_request(head, whole, keep_alive=keep_alive)

    # Headers that mean something here, found by the length of their name first.

    def _by_4(self, _head: Head, name: bytes, _value: bytes) -> None:
        self._hosts += name == b"host"

    def _by_6(self, head: Head, name: bytes, value: bytes) -> None:
        if name == b"expect":
            if value.lower() != b"100-continue":
                raise Malformed(417, "expectation", "Only 100-continue can be expected.")
            head.expects = True

    def _by_13(self, head: Head, name: bytes, value: bytes) -> None:
        if name == b"authorization":
            if head.authorization is not None:
                raise Malformed(400, "malformed", "There are two Authorization headers.")
            head.authorization = value

    def _by_14(self, head: Head, name: bytes, value: bytes) -> None:
        if name == b"content-length":
            head.length = int(value)

    def _by_15(self, head: Head, name: bytes, value: bytes) -> None:
        if name == b"x-hostedai-peer":
            head.peer = value
        elif name == b"x-forwarded-for":
            head.forwarded = head.forwarded + b"," + value if head.forwarded else value

    def _by_17(self, head: Head, name: bytes, value: bytes) -> None:
        if name == b"transfer-encoding":
            self._chunked = True
            if value.strip().lower() != b"chunked":
                raise Malformed(501, "transfer_encoding", "Bodies come with a length or chunked.")
        elif name == b"x-hostedai-resume":
            head.wants = value

    def _by_18(self, head: Head, name: bytes, value: bytes) -> None:
        if name == b"x-hostedai-session":
            head.session = value


_VERSIONS = frozenset({"1.1", "1.0"})
_known: dict[bytes, Head] = {}
_READERS = {
    4: RequestParser._by_4,
    6: RequestParser._by_6,
    13: RequestParser._by_13,
    14: RequestParser._by_14,
    15: RequestParser._by_15,
    17: RequestParser._by_17,
    18: RequestParser._by_18,
}


def _head_too_large() -> Malformed:
    return Malformed(431, "head_too_large", f"The headers have more than {MOST_HEAD} bytes.")


def _too_large(most: int) -> Malformed:
    return Malformed(413, "body_too_large", f"The body has more than {most} bytes.")
