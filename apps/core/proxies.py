"""Who really calls when proxies stand in front: one rule for the portal and for the gateway. Pure."""

from typing import Any


def client_of(scope: dict[str, Any], trusted: int) -> tuple[str, int] | None:
    """An ASGI request's caller; what did not come through all the proxies keeps its peer."""
    peer: tuple[str, int] | None = scope.get("client")
    said = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
    seen = seen_by_proxies(said, trusted)
    return (seen, 0) if seen else peer


def seen_by_proxies(said: bytes, trusted: int) -> str:
    """What the outermost of the trusted proxies has seen; nothing when the request did not pass them all.

    Each proxy adds the address it was called from to the end of `X-Forwarded-For`; what stands further to
    the left anybody can have written.
    """
    hops = [hop.strip() for hop in said.decode("latin-1").split(",")]
    return _without_port(hops[-trusted]) if 0 < trusted <= len(hops) else ""


def _without_port(hop: str) -> str:
    """Some proxies write `192.0.2.1:1234` or `[2001:db8::1]:1234`."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
