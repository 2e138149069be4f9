"""Where a browser goes after signing in."""

from __future__ import annotations

import pytest

from callboard_edge.auth.next_page import START, own_path


@pytest.mark.parametrize("path", ["/consent/abc", "/connect/x?y=%2F%2Fz", "/authorize?redirect_uri=https%3A%2F%2Fa"])
def test_a_path_of_ours_is_where_one_goes_on(path: str) -> None:
    assert own_path(path) == path


@pytest.mark.parametrize(
    "elsewhere",
    [
        "",
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example/",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        " //evil.example",
        "javascript:alert(1)",
        "consent/abc",
        "/caf\u00e9",
        "/\u2215\u2215evil.example",
        "/" + "a" * 3000,
    ],
)
def test_anything_else_leads_to_the_login_page(elsewhere: str) -> None:
    assert own_path(elsewhere) == START
