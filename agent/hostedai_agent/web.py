"""HTTP with the standard library: small requests, small answers, no redirects, a limit on everything."""

import http.client
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

LARGEST_ANSWER = 4 << 20


class Unreachable(Exception):
    """Nobody answered, or not in HTTP."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes

    @property
    def is_good(self) -> bool:
        return 200 <= self.status < 300


def is_loopback(url: str) -> bool:
    """Whether the address cannot leave this host."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def request(
    method: str,
    url: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    patience: float = 10.0,
    tls: ssl.SSLContext | None = None,
) -> Answer:
    """One request; `patience` bounds connecting and each read, in seconds. Raises `Unreachable`."""
    parts = urlsplit(url)
    target = parts.path or "/"
    if parts.query:
        target += f"?{parts.query}"
    try:
        connection = _connect(parts, patience, tls)
    except ValueError as error:
        raise Unreachable(f"{url}: {error}") from error
    try:
        connection.request(method, target, body, dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, response.read(LARGEST_ANSWER))
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"{parts.hostname}: {error or type(error).__name__}") from error
    finally:
        connection.close()


def _connect(parts: SplitResult, patience: float, tls: ssl.SSLContext | None) -> http.client.HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme == "https":
        context = tls or ssl.create_default_context()
        return http.client.HTTPSConnection(host, parts.port, timeout=patience, context=context)
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, parts.port, timeout=patience)
    raise ValueError("the address begins with https:// or http://")
