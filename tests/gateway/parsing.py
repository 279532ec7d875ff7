"""What must hold for the parser of requests, whatever the bytes; asked by the suite and by the fuzzer.

Knows neither Django nor pytest; `tests/gateway/fuzzer.py` hands it to atheris.
"""

from dataclasses import dataclass, field

from apps.gateway.http import MOST_HEAD, Head, Malformed, RequestParser

MOST_BODY = 2000
# Requests as they are sent, and as they are sent by those who mean no good.
SEEDS = (
    b"GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /v1/embeddings HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer k\r\nContent-Length: 2\r\n\r\n{}",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\n{\r\n1\r\n}\r\n0\r\nT:v\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /3",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
    b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: x\r\nAuthorization: y\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n",
    b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /\r\n",
    b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
    b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
)


@dataclass
class Seen:
    """What came out: requests in order, and whether the bytes were refused."""

    requests: list[tuple[bytes, bytes, bytes | None, bytes, bool]] = field(default_factory=list)
    heads: int = 0
    refused: bool = False
    status: int = 0

    def on_head(self, head: Head) -> int:
        self.heads += 1
        return MOST_BODY

    def on_request(self, head: Head, body: bytes, *, keep_alive: bool) -> None:
        self.requests.append((head.method, head.target, head.authorization, body, keep_alive))
        assert len(body) <= MOST_BODY, "a body larger than it may be"
        assert head.length in (-1, len(body)), "a body of another length than was said"
        assert len(head.target) <= MOST_HEAD, "a target larger than it may be"


def parse(pieces: list[bytes]) -> Seen:
    """Feed the pieces to a fresh parser; nothing but a refusal may come of it."""
    seen = Seen()
    parser = RequestParser(seen)
    try:
        for piece in pieces:
            parser.feed(piece)
    except Malformed as refusal:
        seen.refused, seen.status = True, refusal.status
    assert not seen.refused or 400 <= seen.status <= 599, seen.status
    return seen


def check(data: bytes, cuts: list[int]) -> None:
    """However the bytes are cut into pieces, the same requests come out, and the same refusal."""
    whole = parse([data])
    places = sorted({at % (len(data) + 1) for at in cuts})
    pieces = [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]
    split = parse([one for one in pieces if one])
    assert split.requests == whole.requests, (split.requests, whole.requests)
    assert split.refused == whole.refused, (split, whole)
    assert whole.heads <= len(whole.requests) + 1
    assert split.heads <= len(split.requests) + 1


def fuzz(data: bytes) -> None:
    """The first byte says how many cuts there are; two bytes each say where."""
    count = data[0] % 8 if data else 0
    cuts = [int.from_bytes(data[1 + 2 * at : 3 + 2 * at], "big") for at in range(count)]
    check(data[1 + 2 * count :], cuts)
