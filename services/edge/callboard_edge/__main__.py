"""`python -m callboard_edge`: one instance of the edge."""

from __future__ import annotations

import sys

from callboard.platform.room import run_room
from callboard.platform.settings import load
from callboard_edge.app import Edge
from callboard_edge.settings import EdgeSettings


def _load() -> EdgeSettings:
    return load(EdgeSettings, "edge")


if __name__ == "__main__":
    sys.exit(run_room("edge", _load, lambda instance: Edge(_load(), instance)))
