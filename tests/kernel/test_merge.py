from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.kernel.merge import MISSING, Conflict, merged, replaced

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["a", "b"]),
    lambda inner: st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=8,
)
MAPPINGS = st.dictionaries(st.sampled_from(["a", "b", "c"]), PLAIN, max_size=3)


@pytest.mark.parametrize(
    ("data", "path", "value", "after"),
    [
        ({"a": 1}, ("b",), 2, {"a": 1, "b": 2}),
        ({"a": {"b": 1}}, ("a", "b"), 2, {"a": {"b": 2}}),
        ({}, ("a", "b", "c"), [1], {"a": {"b": {"c": [1]}}}),
        ({"a": {"b": 1, "c": 2}}, ("a", "b"), MISSING, {"a": {"c": 2}}),
        ({"a": {"b": 1}}, ("a",), MISSING, {}),
        ({"a": 1}, ("b", "c"), MISSING, {"a": 1}),
        ({"a": 1}, (), {"b": 2}, {"b": 2}),
        ({"a": 1}, ("a",), None, {"a": None}),
    ],
)
def test_a_value_is_put_at_its_path_and_nothing_else_is_touched(
    data: Any, path: tuple[str, ...], value: Any, after: Any
) -> None:
    before = repr(data)
    assert replaced(data, path, value) == after
    assert repr(data) == before, "the original stays as it was"


def test_a_path_through_something_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(LookupError, match="'b' is looked for"):
        replaced({"a": [1]}, ("a", "b"), 1)


@pytest.mark.parametrize(
    ("before", "mine", "theirs", "both"),
    [
        ({"a": 1}, {"a": 2}, {"a": 1, "b": 3}, {"a": 2, "b": 3}),
        ({"a": 1, "b": 2}, {"b": 2}, {"a": 1, "b": 3}, {"b": 3}),
        ({"a": {"x": 1}}, {"a": {"x": 1, "y": 1}}, {"a": {"x": 1, "z": 1}}, {"a": {"x": 1, "y": 1, "z": 1}}),
        ({}, {"a": {"x": 1}}, {"a": {"y": 2}}, {"a": {"x": 1, "y": 2}}),
        ({"a": 1}, {}, {}, {}),
        ({"a": [1]}, {"a": [1, 2]}, {"a": [1]}, {"a": [1, 2]}),
    ],
)
def test_what_two_sides_change_in_different_places_is_both_there(
    before: Any, mine: Any, theirs: Any, both: Any
) -> None:
    assert merged(before, mine, theirs) == (both, [])
    assert merged(before, theirs, mine) == (both, [])


def test_what_both_sides_change_differently_is_a_conflict_and_one_side_is_taken() -> None:
    before, mine, theirs = {"a": {"x": 1}, "b": [1]}, {"a": {"x": 2}}, {"a": {"x": 3}, "b": [2]}
    conflicts = [Conflict(("a", "x"), 1, 2, 3), Conflict(("b",), [1], None, [2])]
    assert merged(before, mine, theirs) == ({"a": {"x": 2}}, conflicts)
    assert merged(before, mine, theirs, prefer_mine=False) == ({"a": {"x": 3}, "b": [2]}, conflicts)


@given(MAPPINGS, MAPPINGS, MAPPINGS)
def test_a_side_that_changed_nothing_takes_all_of_the_other(before: Any, mine: Any, theirs: Any) -> None:
    assert merged(before, mine, before) == (mine, [])
    assert merged(before, before, theirs) == (theirs, [])
    assert merged(before, mine, mine) == (mine, [])
    swapped, there = merged(before, theirs, mine, prefer_mine=False)
    straight, here = merged(before, mine, theirs)
    assert (swapped, {one.path for one in there}) == (straight, {one.path for one in here})
