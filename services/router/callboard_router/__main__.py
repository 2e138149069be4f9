"""`python -m callboard_router`: one instance of the router."""

from __future__ import annotations

import sys

from callboard.platform.room import run_room
from callboard.platform.settings import load
from callboard_router.app import Router
from callboard_router.settings import RouterSettings


def _load() -> RouterSettings:
    return load(RouterSettings, "router")


if __name__ == "__main__":
    sys.exit(run_room("router", _load, lambda instance: Router(_load(), instance)))
