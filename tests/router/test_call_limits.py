from __future__ import annotations

import pytest

from callboard.contracts.definitions import Deadlines, ServerDefinition
from callboard_router.catalogue.deadlines import Limits, limits_of, of_server, of_tool

DEFAULTS = Limits(60_000, 3_600_000)
NOTHING = Deadlines()


@pytest.mark.parametrize(
    ("tool", "server", "expected"),
    [
        (None, NOTHING, Limits(60_000, 3_600_000)),
        (None, Deadlines(max_seconds=5), Limits(0, 5_000)),
        (None, Deadlines(idle_seconds=5), Limits(5_000, 3_600_000, True)),
        (Deadlines(idle_seconds=1), Deadlines(idle_seconds=5, max_seconds=9), Limits(1_000, 9_000, True)),
        (Deadlines(max_seconds=7), Deadlines(idle_seconds=5, max_seconds=9), Limits(5_000, 7_000, True)),
        (Deadlines(max_seconds=7200), NOTHING, Limits(60_000, 7_200_000)),
        (Deadlines(idle_seconds=9, max_seconds=9), NOTHING, Limits(0, 9_000)),
        (Deadlines(max_seconds=0.5), Deadlines(idle_seconds=5), Limits(0, 500)),
    ],
)
def test_the_tool_decides_then_the_server_then_the_settings(
    tool: Deadlines | None, server: Deadlines, expected: Limits
) -> None:
    assert limits_of(tool, server, DEFAULTS) == expected


def test_the_older_word_of_a_server_is_its_longest_time() -> None:
    assert of_server(ServerDefinition(url="http://x", deadline_seconds=5)) == Deadlines(max_seconds=5)
    assert of_server(ServerDefinition(url="http://x", deadlines=Deadlines(idle_seconds=1))).idle_seconds == 1
    assert of_server(ServerDefinition(url="http://x")) == NOTHING


def test_the_exact_name_counts_then_the_longest_glob_in_whatever_order() -> None:
    rules = {pattern: Deadlines(max_seconds=number) for number, pattern in enumerate(("*", "long_*", "long_a"), 1)}
    for order in (rules, dict(reversed(rules.items()))):
        said = {name: of_tool(name, order) for name in ("long_a", "long_b", "x")}
        assert [found.max_seconds for found in said.values() if found] == [3, 2, 1]
    assert of_tool("x", {"y": NOTHING}) is None
