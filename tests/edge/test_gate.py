from __future__ import annotations

import pytest

from callboard_edge.mcp.gate import Gate, Place, place_of
from callboard_edge.settings import EdgeSettings

LOCAL = Gate(EdgeSettings())
PUBLIC = Gate(EdgeSettings(host="0.0.0.0", allowed_hosts="mcp.example.com", allowed_origins="https://app.example.com"))


@pytest.mark.parametrize("host", [b"127.0.0.1:8700", b"localhost:8700", b"LOCALHOST", b"[::1]:8700"])
def test_loopback_names_are_accepted_on_loopback(host: bytes) -> None:
    assert LOCAL.host_allowed(host)


@pytest.mark.parametrize("host", [b"evil.example.com", b"evil.example.com:8700", b"", None, b"127.0.0.1.evil.com"])
def test_other_hosts_are_refused_on_loopback(host: bytes | None) -> None:
    assert not LOCAL.host_allowed(host)


def test_a_public_edge_accepts_only_the_hosts_it_was_given() -> None:
    assert PUBLIC.host_allowed(b"mcp.example.com")
    assert not PUBLIC.host_allowed(b"localhost:8700")


def test_only_our_own_pages_and_listed_ones_may_call_from_a_browser() -> None:
    assert LOCAL.origin_allowed(None)
    assert LOCAL.origin_allowed(b"http://localhost:8700")
    assert not LOCAL.origin_allowed(b"http://evil.example.com")
    assert not LOCAL.origin_allowed(b"null")
    assert not LOCAL.origin_allowed(b"http://[::1")
    assert PUBLIC.origin_allowed(b"https://app.example.com")
    assert not PUBLIC.origin_allowed(b"https://other.example.com")


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/acme/start/mcp", Place("acme", "start", 0)),
        ("/p/p/mcp", Place("p", "p", 0)),
        ("/acme/start/mcp/", Place("acme", "start", 0)),
        ("/acme/start@12/mcp", Place("acme", "start", 12)),
        ("/acme/start", None),
        ("//acme/start/mcp", None),
        ("/acme/start/mcp/x", None),
        ("/ac.me/start/mcp", None),
        ("/acme/st*rt/mcp", None),
        ("/acme/start@x/mcp", None),
        ("/acme/start@0/mcp", None),
        ("/acme/start@01/mcp", None),
        ("/acme/start@٣/mcp", None),
        ("/acme/start@1234567890/mcp", None),
        ("/>/start/mcp", None),
    ],
)
def test_a_path_names_a_playbook_or_nothing(path: str, place: Place | None) -> None:
    assert place_of(path) == place
