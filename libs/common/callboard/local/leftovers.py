"""What an installation that was killed left behind, found by the process ids it wrote down, and ended."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Final

import psutil

from callboard.local.process import kill_tree, wait_until
from callboard.local.supervise import PIDS_FILE

_GONE_SECONDS: Final = 3.0


def end_leftovers(run: Path, credentials: Path) -> list[str]:
    """Kill rooms of this installation that outlived their supervisor; returns their names.

    A process id alone proves nothing, they come round again: a room of ours has credentials of this directory in
    its environment. Postgres and NATS see to their own leftovers.
    """
    found: dict[str, int] = {}
    for name, pid in _written_down(run / PIDS_FILE).items():
        with contextlib.suppress(psutil.Error):
            environment = psutil.Process(pid).environ()
            if environment.get("CALLBOARD_NATS_CREDENTIALS", "").startswith(f"{credentials}/"):
                found[name] = pid
    for pid in found.values():
        kill_tree(pid)
    wait_until(lambda: not any(psutil.pid_exists(pid) for pid in found.values()), _GONE_SECONDS)
    return sorted(found)


def _written_down(path: Path) -> dict[str, int]:
    try:
        children = json.loads(path.read_bytes())["children"]
        return {name: int(state["pid"]) for name, state in children.items() if state["pid"]}
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return {}
