"""Which addresses Callboard may connect to: public ones, and private ones only where an administrator says so.

Facts: the special-purpose registries of RFC 6890. What the standard library calls global includes addresses that carry
a private one inside (NAT64, 6to4, Teredo), so those are refused by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import msgspec

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NOT_PUBLIC: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "::/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "2001::/23",
        "2002::/16",
        "fec0::/10",
    )
)
# Where clouds answer with the credentials of the machine; within a private range, so named here.
_MACHINE_SECRETS: tuple[Network, ...] = tuple(ip_network(text) for text in ("fd00:ec2::254/128", "100.100.100.200/32"))
EVERYTHING = "*"


def plain(address: Address) -> Address:
    """An IPv4 address that is written as IPv6 (`::ffff:127.0.0.1`) is the IPv4 address."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def is_public(address: Address) -> bool:
    """Whether this is an address of the internet at large."""
    address = plain(address)
    if not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified:
        return False
    return not any(address in network for network in _NOT_PUBLIC)


def is_local(address: Address) -> bool:
    """Whether this is a host of somebody's own: loopback or a private range, and not where a machine's secrets are."""
    address = plain(address)
    if address.is_unspecified or address.is_link_local or address.is_multicast:
        return False
    if any(address in network for network in _MACHINE_SECRETS):
        return False
    return address.is_loopback or address.is_private


class PrivateHosts(msgspec.Struct, frozen=True):
    """The private destinations that are allowed: by name, by network, or all hosts of one's own."""

    names: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()
    everything: bool = False

    @classmethod
    def parse(cls, text: str) -> PrivateHosts:
        """From `wiki.internal, 10.0.0.0/8`, or `*`; raises ValueError naming the entry that is neither."""
        names, networks, everything = set(), [], False
        for entry in filter(None, (part.strip().lower() for part in text.split(","))):
            if entry == EVERYTHING:
                everything = True
            elif (network := _network(entry)) is not None:
                networks.append(network)
            elif entry.replace("-", "").replace(".", "").replace("_", "").isalnum():
                names.add(entry)
            else:
                raise ValueError(f"{entry!r} is no host name, address or network")
        return cls(frozenset(names), tuple(networks), everything)

    def allow(self, host: str, address: Address) -> bool:
        """Whether a connection to this address, found under this name, is allowed."""
        if is_public(address):
            return True
        address = plain(address)
        if any(address in network for network in self.networks):
            return True
        return (self.everything or host.lower() in self.names) and is_local(address)


def _network(entry: str) -> Network | None:
    try:
        return ip_network(entry, strict=False)
    except ValueError:
        return None


def network_of(text: str) -> str:
    """What one caller has of the addresses: itself of IPv4, its /64 of IPv6; empty for a text that is no address."""
    try:
        address = plain(ip_address(text))
    except ValueError:
        return ""
    return str(address if address.version == 4 else ip_network((address.packed, 64), strict=False))


def vetted(host: str, found: Iterable[str], allowed: PrivateHosts) -> list[str] | None:
    """The addresses of a name, in order; None when there is one among them that is not allowed."""
    addresses = list(dict.fromkeys(found))
    allowing = [allowed.allow(host, ip_address(address)) for address in addresses]
    return addresses if addresses and all(allowing) else None
