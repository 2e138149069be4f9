from __future__ import annotations

import json
from typing import Any

import pytest

from callboard.contracts.definitions import Exposed, PlaybookContent, PlaybookDefinition
from callboard.contracts.playbooks import Caller, Change
from callboard.kernel.definition_diff import definition_changes
from callboard.kernel.diff import changed_digests, changes_between, named_tool, with_callers
from callboard.kernel.text_faults import text_faults

TOOL: dict[str, Any] = {
    "name": "log",
    "description": "Shows the log",
    "inputSchema": {"type": "object", "properties": {"limit": {"type": "integer"}}},
}


def lines(after: dict[str, Any], before: dict[str, Any] = TOOL) -> dict[str, tuple[str, str]]:
    changes = definition_changes("tool log", json.dumps(before).encode(), json.dumps(after).encode())
    return {change.path: (change.kind, change.severity) for change in changes}


def with_input(**schema: Any) -> dict[str, Any]:
    return {**TOOL, "inputSchema": {**TOOL["inputSchema"], **schema}}


def test_an_input_that_takes_less_breaks_and_one_that_takes_more_does_not() -> None:
    assert lines(with_input(required=["limit"])) == {"tool log input /required": ("narrowed", "breaking")}
    assert lines(TOOL, with_input(required=["limit"])) == {"tool log input /required": ("widened", "harmless")}


def test_an_output_that_may_be_more_than_it_was_breaks() -> None:
    before = {**TOOL, "outputSchema": {"type": "string"}}
    after = {**TOOL, "outputSchema": {"type": ["string", "null"]}}
    assert lines(after, before) == {"tool log output /type": ("widened", "breaking")}
    assert lines(before, after) == {"tool log output /type": ("narrowed", "harmless")}


def test_words_that_a_model_reads_are_notable_and_the_rest_is_harmless() -> None:
    after = {**TOOL, "description": "Shows it", "annotations": {"readOnlyHint": True}, "_meta": {"a": 1}}
    assert lines(after) == {
        "tool log description": ("changed", "notable"),
        "tool log annotations": ("added", "notable"),
        "tool log _meta": ("added", "harmless"),
    }


def test_a_schema_that_is_none_is_said_to_have_changed() -> None:
    broken = {**TOOL, "inputSchema": {"type": [{}]}}
    assert lines(broken) == {"tool log input": ("changed", "breaking")}


def test_a_tool_that_has_another_owner_now_breaks() -> None:
    def content(server: str) -> PlaybookContent:
        exposed = Exposed(server=server, name="log", digest="sha256:1")
        return PlaybookContent(definition=PlaybookDefinition(), tools={"log": exposed})

    (change,) = changes_between(content("git"), content("hg"))
    assert (change.path, change.severity) == ("tool log owner", "breaking")


def test_what_cannot_be_seen_is_said() -> None:
    after = {**TOOL, "description": "Shows\u200b the log\u202e", "title": "Lоg"}  # a Cyrillic o
    changes = definition_changes("tool log", json.dumps(TOOL).encode(), json.dumps(after).encode())
    warnings = {change.path: change.warnings for change in changes}
    assert warnings["tool log description"] == (
        "invisible character U+200B",
        "control of writing direction U+202E",
    )
    assert warnings["tool log title"] == ("letters of Latin and Cyrillic in one word: 'Lоg'",)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a\x1b[31m", "control character U+001B"),
        ("a\x00", "control character U+0000"),
        ("a\U000e0041", "tag character U+E0041"),
        ("a\ue000", "invisible character U+E000"),
        ("a\ud800", "lone surrogate U+D800"),
        ("a\u2028b", "invisible character U+2028"),
    ],
)
def test_each_kind_of_character_that_hides_is_named(text: str, fault: str) -> None:
    assert fault in text_faults({"deep": [text]})


@pytest.mark.parametrize("text", ["plain", "zwei Wörter", "日本語", "Ελλάδα", "tab\tand\nline", "Привет мир", "🙂"])
def test_ordinary_texts_in_any_language_are_not_suspicious(text: str) -> None:
    assert text_faults(text) == []


def test_callers_stand_where_they_are_hurt() -> None:
    ann = (Caller(client="ann", calls=3),)
    breaking = Change(kind="removed", path="tool log", severity="breaking")
    harmless = Change(kind="added", path="tool new", severity="harmless")
    other = Change(kind="changed", path="title")
    told = with_callers([breaking, harmless, other], {"log": ann, "new": ann})
    assert [change.callers for change in told] == [ann, (), ()]
    assert [named_tool(change) for change in told] == ["log", "new", None]


def test_only_definitions_that_changed_are_wanted() -> None:
    def content(**tools: str) -> PlaybookContent:
        exposed = {name: Exposed(server="git", name=name, digest=digest) for name, digest in tools.items()}
        return PlaybookContent(definition=PlaybookDefinition(), tools=exposed)

    assert changed_digests(content(a="1", b="1", c="1"), content(a="2", b="1", d="1")) == {"1", "2"}
