"""Where codes may be sent, as tables."""

from __future__ import annotations

import pytest

from callboard.kernel.redirect_uris import fault_of, is_loopback, is_same

ODD = [
    "999.1.1.1",
    "1.2.3.4.5",
    "1.2.3",
    "0x100000000",
    "0x7f.1",
    "0x",
    "good.0x1f",
    "good.example.1",
    "010.0.0.1",
    "[1:2]",
    "[::1.2.3]",
    "xn--a",
    "xn--a.example",
    "xn--zzzzzzz99999.example",
    "ab--cd.example",
]
"""Hosts that programs read in different ways, or not at all."""
CURSOR = "cursor://anysphere.cursor-mcp/oauth/callback"


@pytest.mark.parametrize(
    "uri",
    [
        "https://claude.ai/api/mcp/auth_callback",
        "https://vscode.dev/redirect",
        "https://app.example:8443/cb?tenant=1",
        "https://xn--bcher-kva.example/cb",
        "https://192.0.2.7/cb",
        "https://[2001:db8::7]:8443/cb",
        "https://0xcafe.example/cb",
        "https://4chan.example/cb",
        "https://xn--strae-oqa.example/cb",
        "http://localhost/callback",
        "http://localhost:8787/callback",
        "http://127.0.0.1/",
        "http://127.0.0.1:33418",
        "http://[::1]:5000/cb",
        CURSOR,
    ],
)
def test_a_code_may_go_to_https_this_machine_and_listed_programs(uri: str) -> None:
    assert fault_of(uri) is None


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "callback",
        "javascript:alert(1)",
        "JavaScript://localhost/%0aalert(1)",
        "data:text/html,<script>alert(1)</script>",
        "file:///etc/passwd",
        "ftp://localhost/cb",
        "http://evil.example/cb",
        "http://localhost.evil.example/cb",
        "http://127.0.0.1.evil.example/cb",
        "http://127.1/cb",
        "http://2130706433/cb",
        "http://10.0.0.1/cb",
        "https://user@good.example/cb",
        "https://good.example@evil.example/cb",
        "https://user:word@good.example/cb",
        "http://localhost@evil.example/cb",
        "https://good.example\\@evil.example/cb",
        "https://good.example/cb\\..\\x",
        "https://good.example/cb#fragment",
        "https://good.example/cb#",
        "https://good.example/a/../cb",
        "https://good.example/a/./cb",
        "https://good.example/a/..",
        "https://good.example/%2e%2e/cb",
        "https://good.example/a/%2E./cb",
        "https://good.example/a%2Fb",
        "https://good.example/a%5cb",
        "https://gооd.example/cb",  # two Cyrillic letters
        "https://good。example/cb",  # a full stop that some take for a dot
        "https://good%2eexample/cb",
        "https://good.example:99999/cb",
        "https://good.example:/cb",
        "https://good..example/cb",
        "https://-good.example/cb",
        *(f"https://{host}/cb" for host in ODD),
        "https:///cb",
        "https:good.example/cb",
        "//good.example/cb",
        " https://good.example/cb",
        "https://good.example/c b",
        "https://good.example/cb\n",
        "https://good.example/\x00",
        "cursor://anysphere.cursor-mcp/oauth/other",
        "cursor://evil/oauth/callback",
        "myapp://callback",
        "https://good.example/" + "x" * 2000,
    ],
)
def test_no_code_ever_goes_anywhere_else(uri: str) -> None:
    assert fault_of(uri) is not None


def test_an_operator_lists_more_programs() -> None:
    assert fault_of("myapp://callback", {"myapp://callback"}) is None
    assert fault_of("myapp://callback/2", {"myapp://callback"}) is not None


@pytest.mark.parametrize(
    ("registered", "asked", "same"),
    [
        ("http://localhost/callback", "http://localhost:49152/callback", True),
        ("http://localhost:8787/callback", "http://localhost:1/callback", True),
        ("http://127.0.0.1/", "http://127.0.0.1:33418", True),
        ("http://127.0.0.1", "http://127.0.0.1:33418/", True),
        ("http://[::1]/cb", "http://[::1]:9/cb", True),
        ("http://localhost/callback", "http://127.0.0.1/callback", False),
        ("http://localhost/callback", "http://localhost/callback/", False),
        ("http://localhost/callback", "http://localhost/other", False),
        ("http://localhost/callback", "http://localhost/callback?x=1", False),
        ("http://localhost/callback", "https://localhost/callback", False),
        ("http://localhost/callback", "http://localhost.evil.example/callback", False),
        ("http://localhost/callback", "http://localhost/callback#x", False),
        ("http://localhost/callback", "http://local\r\nhost/callback", False),
        ("http://localhost/callback", "http://localhost:1\n/callback", False),
        ("http://localhost/callback", "http://a@localhost/callback", False),
        ("https://good.example/cb", "https://good.example/cb", True),
        ("https://good.example/cb", "https://good.example:444/cb", False),
        ("https://good.example", "https://good.example/", False),
        (CURSOR, CURSOR, True),
        (CURSOR, CURSOR + "/", False),
    ],
)
def test_only_the_port_of_this_machine_may_differ_from_what_was_registered(
    registered: str, asked: str, same: bool
) -> None:
    assert is_same(registered, asked) is same


def test_what_any_program_of_this_machine_could_catch_is_known() -> None:
    assert is_loopback("http://127.0.0.1:5/x")
    assert not is_loopback("https://localhost/x")
    assert not is_loopback("http://evil.example")
