"""`python -m callboard_authsvc`: one instance of the authsvc."""

from __future__ import annotations

import sys

from callboard.platform.room import run_room
from callboard.platform.settings import load
from callboard_authsvc.app import Authsvc, Materials, read_materials
from callboard_authsvc.settings import AuthsvcSettings


def main() -> int:
    """Run until stopped; returns the exit code (2: refused at start, with the setting named)."""
    materials: list[Materials] = []

    def load_settings() -> AuthsvcSettings:
        settings = load(AuthsvcSettings, "authsvc")
        # Files that settings point to are read here too, so that a bad one is refused like a bad setting.
        materials.append(read_materials(settings))
        return settings

    return run_room("authsvc", load_settings, lambda instance: Authsvc(materials[0], instance))


if __name__ == "__main__":
    sys.exit(main())
