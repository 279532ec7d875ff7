"""One POST to an address that a customer wrote down: to public addresses only, within ten seconds in all.

The name is resolved once, what it leads to is looked at, and exactly that is connected to: a name that means
something else a moment later reaches nothing. Redirects are not followed. An answer's status is the answer;
of its body a little is read, and none of it kept.
"""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import SplitResult, urlsplit

from apps.drivers.egress import Networks, may_reach
from apps.drivers.errors import DriverError, Rejected, Transient

PATIENCE = 10.0  # seconds, for everything together; only a resolver may take longer
MOST_READ = 64 * 1024  # bytes of an answer's body
_BLINK = 0.05  # seconds: who fails so shortly before the end was cut off

Place = tuple[socket.AddressFamily, Any]  # as `getaddrinfo` names one


@dataclass(frozen=True, slots=True)
class Answer:
    """What the receiver said, and how long it took, in seconds."""

    status: int
    seconds: float


def send(
    url: str, body: bytes, headers: Mapping[str, str], known: Networks, *, patience: float = PATIENCE
) -> Answer:
    """Post the body; raises DriverError when nobody answers, or where we must not go."""
    began, parts = time.monotonic(), urlsplit(url)
    ends = began + patience
    try:
        with _connected(parts, _places(parts, known), ends) as line:
            status = _ask(line, parts, body, headers)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _told(error, is_late=time.monotonic() > ends - _BLINK) from error
    return Answer(status, time.monotonic() - began)


def _ask(line: socket.socket, parts: SplitResult, body: bytes, headers: Mapping[str, str]) -> int:
    connection = http.client.HTTPConnection(parts.hostname or "")
    connection.sock = line
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection.request("POST", target, body, {**headers, "Host": parts.netloc, "Connection": "close"})
    answer = connection.getresponse()
    with suppress(OSError, http.client.HTTPException, ValueError):
        answer.read(MOST_READ)
    return answer.status


def _told(error: Exception, *, is_late: bool) -> DriverError:
    if is_late:
        return Transient("The receiver did not answer in time.", detail=repr(error))
    if isinstance(error, ssl.SSLError):
        return Transient("The receiver's certificate cannot be trusted.", detail=str(error))
    return Transient("The receiver does not answer.", detail=repr(error))


def _places(parts: SplitResult, known: Networks) -> list[Place]:
    """Where the name leads, as far as it may be spoken to."""
    has_tls = parts.scheme == "https"
    port = parts.port or (443 if has_tls else 80)
    found = socket.getaddrinfo(parts.hostname or "", port, type=socket.SOCK_STREAM)
    good = [(one[0], one[4]) for one in found if may_reach(str(one[4][0]), known, has_tls=has_tls)]
    if not good:
        detail = ", ".join(sorted({str(one[4][0]) for one in found}))
        raise Rejected("The address leads to where we must not go.", detail=detail)
    return good


@contextmanager
def _connected(parts: SplitResult, places: list[Place], ends: float) -> Iterator[socket.socket]:
    """A connection to the first place that takes one. When time is up it is cut, whatever is going on: a
    receiver that sends a byte now and then would else keep it for ever."""
    line = _open(places, ends)
    cut = line.dup()  # the bare connection, which another thread can shut down under TLS as well
    timer = threading.Timer(max(ends - time.monotonic(), 0), _shut, (cut,))
    timer.daemon = True
    timer.start()
    try:
        if parts.scheme == "https":
            line = _tls().wrap_socket(line, server_hostname=parts.hostname)
        yield line
    finally:
        timer.cancel()
        line.close()
        cut.close()


def _open(places: list[Place], ends: float) -> socket.socket:
    """The first that answers; each gets its share of the time."""
    problem: OSError = TimeoutError()
    for left, (family, place) in zip(range(len(places), 0, -1), places, strict=True):
        line = socket.socket(family, socket.SOCK_STREAM)
        line.settimeout(max((ends - time.monotonic()) / left, 0.001))
        try:
            line.connect(place)
        except OSError as error:
            line.close()
            problem = error
        else:
            line.settimeout(None)
            return line
    raise problem


def _shut(line: socket.socket) -> None:
    with suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
