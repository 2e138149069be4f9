"""Counts in bounded memory."""

from __future__ import annotations

import pytest

from callboard.kernel.addresses import network_of
from callboard.kernel.tally import Tally


def test_what_happens_too_often_is_counted_and_what_is_too_much_is_one_number() -> None:
    tally: Tally[str] = Tally(2)
    assert not tally
    for key in ("a", "b", "c", "b", "d"):
        tally.add(key)
    assert tally
    assert tally.take() == ([("b", 2), ("a", 1)], 2)
    assert not tally
    assert tally.take() == ([], 0)


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::/64"),
        ("unix", ""),
        ("", ""),
        ("192.0.2.7\r\nX: y", ""),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_of_ipv6_one_caller_has_a_whole_network(text: str, network: str) -> None:
    assert network_of(text) == network
