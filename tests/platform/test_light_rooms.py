"""What a room loads as it starts is what it needs: each of them is there all the time."""

from __future__ import annotations

import subprocess
import sys

import pytest

ROOMS = ("authsvc", "projections", "connectors", "router", "edge")
COLOURS = "print(sorted({name.partition('.')[0] for name in sys.modules} & {'rich', 'pygments'}))"


def said_by(script: str) -> str:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_loads_what_colours_terminals(room: str) -> None:
    assert said_by(f"import sys, callboard_{room}.__main__; {COLOURS}") == "[]"


def test_who_wants_colours_has_them_all_the_same() -> None:
    assert said_by("import callboard.platform.plain_logs, rich.pretty; print(rich.pretty.pretty_repr([1]))") == "[1]"


def test_they_would_be_loaded_otherwise() -> None:
    """If this fails structlog does without them by itself, and `plain_logs` is not needed any more."""
    assert "rich" in said_by(f"import sys, structlog; {COLOURS}")
