"""Where addresses that somebody wrote down may lead: looked at on the connection that is really open."""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias
from urllib.parse import urlsplit

Networks: TypeAlias = tuple[IPv4Network | IPv6Network, ...]
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_URL = re.compile(rf"https?://({_LABEL}(\.{_LABEL})*|\[[0-9a-fA-F:.]+\])(:\d{{1,5}})?(/[!-~]*)?")
_NAT64, _LOCAL_NAT64 = IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48")  # RFC 6052, RFC 8215


def networks_of(names: Iterable[str]) -> Networks:
    """Networks as they are written in a setting: `10.0.0.0/8`."""
    return tuple(ip_network(name) for name in names)


def may_reach(address: str, known: Networks = (), *, has_tls: bool = True) -> bool:
    """Whether an address may be spoken to: a public one over TLS, or one in the networks that are known."""
    found = _meant(ip_address(address.partition("%")[0]))
    is_public = found.is_global and found not in _LOCAL_NAT64
    return any(found in one for one in known) or (has_tls and is_public)


def is_url(text: str) -> bool:
    """Whether this is how an address is written: a host and a path, no name with a password."""
    try:
        return bool(_URL.fullmatch(text)) and urlsplit(text).port != 0
    except ValueError:
        return False


def may_name(url: str, known: Networks = ()) -> bool:
    """Whether an address may be spoken to, as far as its words tell: names are looked at when they are
    resolved. Without TLS only where something is known."""
    parts = urlsplit(url)
    has_tls, host = parts.scheme == "https", parts.hostname or ""
    try:
        ip_address(host)
    except ValueError:
        return has_tls or bool(known)
    return may_reach(host, known, has_tls=has_tls)


def _meant(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 one is translated to on its way, where it is one of those."""
    if not isinstance(address, IPv6Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
