"""`python -m callboard_connectors`: one worker of the connectors room."""

from __future__ import annotations

import sys

from callboard.platform.room import run_room
from callboard_connectors.app import build
from callboard_connectors.settings import read

if __name__ == "__main__":
    sys.exit(run_room("connectors", read, lambda instance: build(read(), instance)))
