"""Comparing the results of a call that ran twice."""

from __future__ import annotations

import json
from typing import Any

import pytest

from callboard.kernel.result_diff import MOST, differences


def text(value: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": value}]}


def places(*sides: Any, **options: Any) -> list[str]:
    return [difference.path for difference in differences(*sides, **options)]


def test_equal_results_have_no_difference_whatever_the_protocol_says_about_them() -> None:
    before, after = {**text("a"), "_meta": {"x": 1}}, {**text("a"), "resultType": "complete", "ttlMs": 0}
    assert places(before, after) == []


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        (text("a"), text("b"), "/content/0/text"),
        ({"n": 1}, {"n": 1.5}, "/n"),
        ({"n": 1}, {"n": True}, "/n"),
        ({"n": 1}, {}, "/n"),
        ({}, {"n": None}, "/n"),
        ({"l": [1]}, {"l": [1, 2]}, "/l/1"),
        ({"o": {"a/b": 1}}, {"o": {"a/b": 2}}, "/o/a~1b"),
    ],
)
def test_a_difference_is_named_by_its_place(before: Any, after: Any, path: str) -> None:
    assert places(before, after) == [path]


def test_json_in_a_text_is_compared_as_json() -> None:
    assert places(text('{"a":1,"b":2}'), text('{ "b": 2, "a": 1 }')) == []
    assert places(text('{"a":1}'), text('{"a":2}')) == ["/content/0/text/a"]


def test_what_was_redacted_equals_anything_and_the_rest_does_not() -> None:
    assert places({"a": "[redacted]"}, {"a": {"b": 1}}) == []
    assert places({"a": "key [redacted] ok"}, {"a": "key 123 ok"}) == []
    assert places({"a": "key [redacted] ok"}, {"a": "key 123 gone"}) == ["/a"]


def test_places_and_times_can_be_ignored() -> None:
    before = {"took": 1, "at": "on 2026-11-20T14:05:00Z", "x": 1}
    after = {"took": 2, "at": "on 2026-11-21T09:00:01.5+01:00", "x": 1}
    assert places(before, after) == ["/took", "/at"]
    assert places(before, after, ignore=["/took"], ignore_times=True) == []
    assert places({"at": "2026-11-20 a"}, {"at": "2026-11-21 b"}, ignore_times=True) == ["/at"]


def test_the_list_of_differences_and_what_it_shows_are_bounded() -> None:
    found = differences({"l": [0] * 1000, "t": ""}, {"l": [1] * 1000, "t": "x" * 10_000})
    assert len(found) == MOST
    shown = differences({"t": "y"}, {"t": "x" * 10_000})[0].after
    assert (len(shown) < 600, shown.endswith("(10000 characters)")) == (True, True)
    assert len(json.dumps(differences({"t": 1}, {"t": [{"a": "b" * 100}] * 100})[0].after)) < 700
