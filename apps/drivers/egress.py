"""Where addresses that somebody wrote down may lead: looked at on the connection that is really open."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

Networks: TypeAlias = tuple[IPv4Network | IPv6Network, ...]


def networks_of(names: Iterable[str]) -> Networks:
    """Networks as they are written in a setting: `10.0.0.0/8`."""
    return tuple(ip_network(name) for name in names)


def may_reach(address: str, known: Networks = (), *, has_tls: bool = True) -> bool:
    """Whether an address may be spoken to: a public one over TLS, or one in the networks that are known."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    return any(found in one for one in known) or (has_tls and found.is_global)
