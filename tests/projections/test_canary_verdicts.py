from __future__ import annotations

from datetime import UTC, datetime, timedelta

from callboard.contracts.assignments import CanaryLine
from callboard.kernel.canary import Figures
from callboard_projections.canary.domain import SETTLING, judge

BEGAN = datetime(2026, 11, 20, 14, 5, tzinfo=UTC)
UNTIL = BEGAN + timedelta(hours=2)
OVER = UNTIL + SETTLING
CANARY = CanaryLine(
    playbook="start",
    canary="k",
    version=2,
    percent=10,
    until=UNTIL,
    condition="errors > 2% or p99 > 800ms",
    min_calls=50,
    started_by="ann",
    comment="why",
    started_at=BEGAN,
)


def test_nothing_is_decided_while_it_goes_well() -> None:
    assert judge(CANARY, {}, BEGAN) is None
    assert judge(CANARY, {2: Figures(calls=1000, errors=20)}, BEGAN) is None
    assert judge(CANARY, {2: Figures(calls=1000)}, OVER - timedelta(microseconds=1)) is None


def test_it_fails_as_soon_as_its_condition_holds_in_calls_enough() -> None:
    assert judge(CANARY, {2: Figures(calls=49, errors=49)}, BEGAN) is None
    verdict = judge(CANARY, {2: Figures(calls=50, errors=6, p99=10.0), 3: Figures(calls=540, errors=2, p99=9.0)}, BEGAN)
    assert verdict is not None
    assert verdict.outcome == "failed"
    assert verdict.comment == (
        "errors 12% is over 2% in 50 calls of version 2 (errors 0.3704%, p99 9ms in 540 calls of version 3)"
    )
    slow = judge(CANARY, {2: Figures(calls=50, p99=801.0)}, BEGAN)
    assert slow is not None
    assert slow.comment == "p99 801ms is over 800ms in 50 calls of version 2"


def test_only_the_version_that_is_tried_is_judged() -> None:
    assert judge(CANARY, {3: Figures(calls=500, errors=500), 2: Figures(calls=50)}, BEGAN) is None


def test_it_is_promoted_when_its_time_is_over_and_it_went_well() -> None:
    verdict = judge(CANARY, {2: Figures(calls=50, errors=1, p99=10.0)}, OVER)
    assert verdict == ("promote", "errors 2%, p99 10ms in 50 calls of version 2")


def test_with_too_few_calls_it_is_not_promoted() -> None:
    verdict = judge(CANARY, {2: Figures(calls=1)}, OVER)
    assert verdict == ("inconclusive", "its time was over after 1 call of version 2; 50 were needed")


def test_what_holds_at_the_end_still_fails_it() -> None:
    verdict = judge(CANARY, {2: Figures(calls=50, errors=50)}, OVER)
    assert verdict is not None
    assert verdict.outcome == "failed"
