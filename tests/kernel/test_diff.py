from __future__ import annotations

from callboard.contracts.definitions import Exposed, PlaybookContent, PlaybookDefinition, PlaybookServer
from callboard.kernel.diff import changes_between
from callboard.kernel.digest import digest_of, digest_of_json


def content(title: str = "", **tools: str) -> PlaybookContent:
    return PlaybookContent(
        definition=PlaybookDefinition(title=title, servers={"git": PlaybookServer()}),
        tools={
            name: Exposed(server="git", name=spec.split(":")[0], digest=spec.split(":")[1])
            for name, spec in tools.items()
        },
    )


def lines(before: PlaybookContent | None, after: PlaybookContent) -> set[tuple[str, str]]:
    return {(change.kind, change.path) for change in changes_between(before, after)}


def test_equal_contents_have_no_differences() -> None:
    assert lines(content(a="log:1"), content(a="log:1")) == set()


def test_added_removed_changed_and_renamed_tools_are_told_apart() -> None:
    before, after = content(a="log:1", b="status:1", c="diff:1"), content(a="log:2", d="status:1", e="new:1")
    assert lines(before, after) == {
        ("changed", "tool a"),
        ("renamed", "tool b"),
        ("removed", "tool c"),
        ("added", "tool e"),
    }


def test_a_removed_tool_breaks_and_an_added_one_does_not() -> None:
    severities = {c.path: c.severity for c in changes_between(content(a="x:1"), content(b="y:1"))}
    assert severities == {"tool b": "harmless", "tool a": "breaking"}


def test_a_change_of_the_definition_is_told_with_its_path() -> None:
    assert lines(content("one"), content("two")) == {("changed", "title")}


def test_a_new_playbook_is_all_added() -> None:
    assert ("added", "tool a") in lines(None, content(a="log:1"))


def test_digests_ignore_white_space_and_key_order_only() -> None:
    assert digest_of_json(b'{"a":1, "b":[1,2]}') == digest_of({"b": [1, 2], "a": 1})
    assert digest_of({"a": [1, 2]}) != digest_of({"a": [2, 1]})
    assert digest_of({"a": "é"}) != digest_of({"a": "e"})
