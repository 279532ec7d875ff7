"""Who really calls when proxies stand in front of the portal."""

from typing import Any


def client_of(scope: dict[str, Any], trusted: int) -> tuple[str, int] | None:
    """The caller's address: what the outermost of the trusted proxies has seen.

    Each proxy adds the address it was called from to the end of `X-Forwarded-For`; what stands further to
    the left anybody can have written. A request that did not come through all of them keeps its peer.
    """
    peer: tuple[str, int] | None = scope.get("client")
    if not trusted:
        return peer
    said = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
    hops = [hop.strip() for hop in said.decode("latin-1").split(",")]
    if len(hops) < trusted or not hops[-trusted]:
        return peer
    return _without_port(hops[-trusted]), 0


def _without_port(hop: str) -> str:
    """Some proxies write `192.0.2.1:1234` or `[2001:db8::1]:1234`."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
