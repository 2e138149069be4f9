from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.kernel.canary import Comparison, Figures, broken, is_chosen, parse_condition


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("errors > 2%", (Comparison("errors", 2.0),)),
        ("errors>0.5 %", (Comparison("errors", 0.5),)),
        ("p99 > 800ms", (Comparison("p99", 800.0),)),
        (
            " tool_errors > 5% or timeouts > 0% or p99>1500 ms ",
            (Comparison("tool_errors", 5.0), Comparison("timeouts", 0.0), Comparison("p99", 1500.0)),
        ),
    ],
)
def test_a_condition_is_comparisons_joined_by_or(text: str, expected: tuple[Comparison, ...]) -> None:
    assert parse_condition(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "errors", "errors < 2%", "errors >= 2%", "errors > 2", "errors > 2ms", "p99 > 2%", "p50 > 2ms", "or",
        "errors > 2% and p99 > 2ms", "errors > 2% or", "errors > 2% p99 > 2ms", "__import__('os')", "errors > 1e3%",
        "errors > -1%", "errors > 100%",
    ],
)  # fmt: skip
def test_anything_else_is_refused_and_says_what_can_be_written(text: str) -> None:
    with pytest.raises(ValueError, match=r"errors > 2%, tool_errors|can never be"):
        parse_condition(text)


def test_a_condition_holds_as_soon_as_one_measure_is_over_its_limit() -> None:
    condition = parse_condition("errors > 2% or p99 > 800ms")
    assert broken(condition, Figures(calls=100, errors=2, p99=800.0)) is None
    assert broken(condition, Figures(calls=100, errors=3, p99=900.0)) == Comparison("errors", 2.0)
    assert broken(condition, Figures(calls=100, errors=2, p99=800.1)) == Comparison("p99", 800.0)
    assert broken(condition, Figures(calls=100, tool_errors=90)) is None
    assert broken(condition, Figures()) is None


@given(st.integers(1, 1000), st.integers(0, 1000), st.floats(0, 99.9))
def test_a_share_is_over_its_limit_exactly_when_its_part_of_the_calls_is(calls: int, errors: int, limit: float) -> None:
    figures = Figures(calls=calls, errors=min(errors, calls))
    over = broken((Comparison("errors", limit),), figures) is not None
    assert over == (100.0 * figures.errors / calls > limit)


@pytest.mark.parametrize("percent", [1, 10, 50, 99])
def test_of_many_callers_about_the_wanted_share_is_chosen(percent: float) -> None:
    callers = [f"client-{number}" for number in range(20_000)]
    chosen = sum(is_chosen("start", "k", caller, percent) for caller in callers)
    assert abs(chosen / len(callers) * 100 - percent) < 1.5


def test_a_caller_is_chosen_for_good_and_otherwise_by_another_canary() -> None:
    callers = [f"client-{number}" for number in range(1000)]
    one = [is_chosen("start", "one", caller, 50) for caller in callers]
    assert one == [is_chosen("start", "one", caller, 50) for caller in callers]
    assert one != [is_chosen("start", "two", caller, 50) for caller in callers]
    assert all(is_chosen("start", "one", caller, 100) for caller in callers)
    assert all(is_chosen("start", "one", caller, 90) for caller, was in zip(callers, one, strict=True) if was)
