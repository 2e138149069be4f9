from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from callboard.cli.moments import moment_of
from callboard.cli.refusals import WrongUsage

NOW = datetime(2026, 11, 20, 15, 30, 12, 345, tzinfo=UTC)  # a Friday


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-11-17T14:05", "2026-11-17T14:05:00+00:00"),
        ("2026-11-17 14:05:09+02:00", "2026-11-17T14:05:09+02:00"),
        ("2026-11-17", "2026-11-17T00:00:00+00:00"),
        ("14:05", "2026-11-20T14:05:00+00:00"),
        ("14:05:07 today", "2026-11-20T14:05:07+00:00"),
        ("14:05 yesterday", "2026-11-19T14:05:00+00:00"),
        ("14:05 last Tuesday", "2026-11-17T14:05:00+00:00"),
        ("14:05 tuesday", "2026-11-17T14:05:00+00:00"),
        ("14:05 last friday", "2026-11-13T14:05:00+00:00"),
        ("2h ago", "2026-11-20T13:30:12.000345+00:00"),
        ("30m", "2026-11-20T15:00:12.000345+00:00"),
        ("1w", "2026-11-13T15:30:12.000345+00:00"),
    ],
)
def test_times_are_understood_as_people_say_them(text: str, meant: str) -> None:
    assert moment_of(text, NOW) == datetime.fromisoformat(meant)


def test_a_time_without_a_zone_is_of_the_zone_here() -> None:
    here = NOW.astimezone(timezone(timedelta(hours=2)))
    assert moment_of("2026-11-17T14:05", here).utcoffset() == timedelta(hours=2)
    assert moment_of("14:05 yesterday", here).isoformat() == "2026-11-19T14:05:00+02:00"


@pytest.mark.parametrize("text", ["", "soon", "25:00", "14:60", "14:05 someday", "14:05 last", "h", "5y", "14:05:99"])
def test_what_is_no_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(WrongUsage, match="last tuesday"):
        moment_of(text, NOW)
