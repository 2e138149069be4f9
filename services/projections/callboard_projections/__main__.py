"""`python -m callboard_projections`: one instance of projections."""

from __future__ import annotations

import sys

from callboard.platform.room import run_room
from callboard.platform.settings import load
from callboard_projections.app import Projections
from callboard_projections.settings import ProjectionsSettings


def _load() -> ProjectionsSettings:
    return load(ProjectionsSettings, "projections")


if __name__ == "__main__":
    sys.exit(run_room("projections", _load, lambda instance: Projections(_load(), instance)))
