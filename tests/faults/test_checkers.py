"""The checkers of the fault tests find what they are there for."""

from __future__ import annotations

from tests.support.callers import faults_of


def test_a_call_that_was_executed_twice_is_found() -> None:
    assert faults_of({"a"}, ["a", "b", "a"]) == ["executed 2 times: a"]


def test_a_call_that_was_acknowledged_and_never_executed_is_found() -> None:
    assert faults_of({"a", "b"}, ["a"]) == ["acknowledged, never executed: b"]


def test_a_call_of_unknown_outcome_may_have_been_executed_or_not() -> None:
    assert faults_of({"a"}, ["a", "b"]) == []
