"""HTTP/1.1 as the gateway writes it."""

from http import HTTPStatus

from apps.gateway.http import Malformed
from apps.gateway.plane.refusals import Refusal

_LINES = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus
}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CLOSE = b"connection: close\r\n"
LAST_CHUNK = b"0\r\n\r\n"
JSON = b"application/json"
SSE_DONE = b"data: [DONE]\n\n"


def status_line(status: int) -> bytes:
    return _LINES.get(status) or b"HTTP/1.1 %d Unknown\r\n" % status


def answer(status: int, body: bytes, *, kind: bytes = JSON, headers: bytes = b"") -> bytes:
    """A whole answer; `headers` are lines, each with its end."""
    return b"%bcontent-type: %b\r\ncontent-length: %d\r\n%b\r\n%b" % (
        status_line(status), kind, len(body), headers, body,
    )  # fmt: skip


def refuse(refusal: Refusal, headers: bytes = b"") -> bytes:
    return answer(refusal.status, refusal.body(), headers=refusal.headers + headers)


def refuse_malformed(error: Malformed) -> bytes:
    """The last words on a connection that cannot be used any further."""
    kind = "invalid_request_error"
    return refuse(Refusal(error.status, kind, error.code, error.message), CLOSE)


def stream_head(status: int, kind: bytes, headers: bytes, *, chunked: bool) -> bytes:
    """The head of an answer whose length is not known; without chunks it ends with the connection."""
    framing = b"transfer-encoding: chunked\r\n" if chunked else CLOSE
    return b"%bcontent-type: %b\r\ncache-control: no-store\r\n%b%b\r\n" % (
        status_line(status), kind, framing, headers,
    )  # fmt: skip


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def sse_error(refusal: Refusal) -> bytes:
    """A refusal in the middle of a stream: an event that clients understand, and the end."""
    return b"data: %b\n\n" % refusal.body() + SSE_DONE
