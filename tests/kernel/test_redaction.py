"""What recorded arguments and results never keep. Every rule has its control: without it the canary is found."""

from __future__ import annotations

import json
from typing import Any

import pytest

from callboard.kernel.redaction import REDACTED, Redaction, matches, sounds_secret

CANARY = "canary-9f3ac210"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl"


def redacted(content: dict[str, Any], *patterns: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    return Redaction(patterns).apply(content)


def test_what_is_harmless_stays_as_it_is() -> None:
    content = {
        "arguments": {"text": "hello", "max_tokens": 5, "nextPageToken": "p2", "on": True, "list": [1, 2.5, None, ""]},
        "result": {"content": [{"type": "text", "text": '{"a": 1, "b": [true]}'}], "isError": False},
    }
    assert redacted(content) == (content, ())


@pytest.mark.parametrize(
    "name",
    ["password", "Password2", "userPassword", "client_secret", "token", "X-Auth-Token", "apiKey", "api_key",
     "AUTHORIZATION", "Cookie", "credentials", "pin", "private-key"],
)  # fmt: skip
def test_what_stands_under_the_name_of_a_secret_is_taken_out(name: str) -> None:
    content, places = redacted({"arguments": {"deep": [{name: CANARY}]}})
    assert content == {"arguments": {"deep": [{name: REDACTED}]}}
    assert places == (f"/arguments/deep/0/{name}",)


@pytest.mark.parametrize(
    "name", ["max_tokens", "pageToken", "progressToken", "shopping", "opinion", "keyboard", "author"]
)
def test_names_that_only_look_alike_are_no_secrets(name: str) -> None:
    assert not sounds_secret(name)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"Authorization: Bearer {CANARY}", "Authorization: Bearer [redacted]"),
        (f"postgresql://ann:{CANARY}@db/x", "postgresql://[redacted]@db/x"),
        (f"curl https://x/?token={CANARY}&a=1", "curl https://x/?token=[redacted]&a=1"),
        (f"the key is {JWT}.", "the key is [redacted]."),
        ("use AKIAIOSFODNN7EXAMPLE now", "use [redacted] now"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "[redacted]"),
        ("cbk_0123456789abcdefghijABCDEFGHIJ0123456789abcdef", "[redacted]"),
        ("a -----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- b", "a [redacted] b"),
        ("-----BEGIN PRIVATE KEY-----\ncut off", "[redacted]"),
    ],
)
def test_what_has_the_form_of_a_secret_is_taken_out_of_a_text(text: str, left: str) -> None:
    content, places = redacted({"result": {"content": [{"type": "text", "text": text}]}})
    assert content["result"]["content"][0]["text"] == left
    assert places == ("/result/content/0/text",)


def test_a_pattern_takes_out_whatever_stands_there() -> None:
    content = {"arguments": {"who": {"name": "Ann", "email": CANARY}}, "result": {"rows": [{"email": CANARY}]}}
    cleaned, places = redacted(content, "/**/email", "/arguments/who/na*")
    assert cleaned == {
        "arguments": {"who": {"name": REDACTED, "email": REDACTED}},
        "result": {"rows": [{"email": REDACTED}]},
    }
    assert set(places) == {"/arguments/who/name", "/arguments/who/email", "/result/rows/0/email"}
    assert CANARY in str(redacted(content)[0]), "the control: without the pattern it is kept"


def test_a_text_that_is_json_is_looked_into() -> None:
    text = json.dumps({"user": {"password": CANARY, "note": "x"}})
    cleaned, _ = redacted({"result": {"content": [{"type": "text", "text": text}]}})
    assert json.loads(cleaned["result"]["content"][0]["text"]) == {"user": {"password": REDACTED, "note": "x"}}


def test_a_pattern_of_structured_content_holds_for_its_copy_in_a_text() -> None:
    data = {"rows": [{"phone": 123456789, "id": 7}]}
    content = {"result": {"structuredContent": data, "content": [{"type": "text", "text": json.dumps(data)}]}}
    cleaned, _ = redacted(content, "/result/structuredContent/rows/*/phone")
    assert "123456789" not in json.dumps(cleaned)
    assert "7" in cleaned["result"]["content"][0]["text"]


def test_what_was_taken_out_in_one_place_is_nowhere_else_either() -> None:
    content = {
        "arguments": {"password": CANARY},
        "result": {"content": [{"type": "text", "text": f"logged in with {CANARY}!"}], CANARY: 1},
    }
    cleaned, places = redacted(content)
    assert CANARY not in json.dumps(cleaned)
    assert cleaned["result"]["content"][0]["text"] == f"logged in with {REDACTED}!"
    assert "/result/content/0/text" in places


def test_what_is_nested_beyond_reason_is_not_kept() -> None:
    deep: Any = CANARY
    for _ in range(200):
        deep = [deep]
    assert CANARY not in str(redacted({"arguments": {"x": deep}})[0])


@pytest.mark.parametrize(
    ("pattern", "path", "named"),
    [
        ("/a/b", "/a/b", True),
        ("/a/b", "/a/b/c", False),
        ("/a/*", "/a/b", True),
        ("/a/*", "/a", False),
        ("/a/*_key", "/a/my_key", True),
        ("/**/b", "/a/x/b", True),
        ("/**/b", "/b", True),
        ("/a/**", "/a/x/y", True),
        ("/a/**", "/a", False),
        ("/a~1b", "/a~1b", True),
    ],
)
def test_patterns_name_places_step_by_step(pattern: str, path: str, named: bool) -> None:
    steps = tuple(step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:])
    assert matches(tuple(pattern.split("/")[1:]), steps) is named
