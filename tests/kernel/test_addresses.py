"""Which addresses may be connected to."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from callboard.kernel.addresses import PrivateHosts, is_public, vetted

NOBODY = PrivateHosts.parse("")
OWN = PrivateHosts.parse("*")
NOT_PUBLIC = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "0.0.0.0",
    "192.0.0.8",
    "192.88.99.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a9fe:a9fe",
    "2001::1",
    "2002:7f00:1::",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_an_address_that_is_not_of_the_internet_is_refused(text: str) -> None:
    assert not is_public(ip_address(text))
    assert vetted("host.example", [text], NOBODY) is None


@pytest.mark.parametrize("text", ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_a_public_address_is_taken(text: str) -> None:
    assert vetted("host.example", [text], NOBODY) == [text]


def test_one_private_address_among_public_ones_refuses_the_name() -> None:
    assert vetted("host.example", ["8.8.8.8", "10.0.0.1"], NOBODY) is None


def test_a_name_without_an_address_is_refused() -> None:
    assert vetted("host.example", [], OWN) is None


@pytest.mark.parametrize("text", ["127.0.0.1", "::1", "10.1.2.3", "fd12::1", "::ffff:192.168.0.1"])
def test_the_star_allows_the_machine_and_private_ranges(text: str) -> None:
    assert vetted("localhost", [text], OWN) == [text]


@pytest.mark.parametrize(
    "text", ["169.254.169.254", "fd00:ec2::254", "100.100.100.200", "fe80::1", "0.0.0.0", "224.0.0.1"]
)
def test_the_star_does_not_allow_where_the_secrets_of_a_machine_are(text: str) -> None:
    assert vetted("metadata.internal", [text], OWN) is None


def test_a_name_and_a_network_are_allowed_by_themselves() -> None:
    allowed = PrivateHosts.parse("wiki.internal, 10.1.0.0/16, 192.168.7.7")
    assert vetted("WIKI.internal", ["192.168.0.1"], allowed) == ["192.168.0.1"]
    assert vetted("other.internal", ["192.168.0.1"], allowed) is None
    assert vetted("other.internal", ["10.1.2.3"], allowed) == ["10.1.2.3"]
    assert vetted("other.internal", ["10.2.2.3"], allowed) is None
    assert vetted("other.internal", ["192.168.7.7"], allowed) == ["192.168.7.7"]


def test_an_entry_that_is_nothing_is_named() -> None:
    with pytest.raises(ValueError, match="'http://x' is no host name"):
        PrivateHosts.parse("a, http://x")
