"""A room that nobody waits for steps back behind those that answer calls, and so do its sessions in Postgres.

What is written in bursts holds a core for milliseconds, and calls that come meanwhile stand behind it. Linux shares a
core by weight: by the nice value of a thread and, where sessions are scheduled as groups (sched(7), "The autogroup
feature"), by that of the group. Nobody else's place is touched; where none of this works, all stays as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Any, Final

_PROCESSES: Final = Path("/proc")
_AGAIN_SECONDS: Final = 0.15
"""The kernel lets a user without rights change the weight of a group ten times a second, and of all groups together."""
_TRIES: Final = 40


class Background:
    """Has processes step back to this nice value: this one, and backends of a Postgres on this machine."""

    def __init__(self, nice: int) -> None:
        self._nice = nice
        self._later: set[asyncio.Task[None]] = set()

    def join(self) -> None:
        """This process steps back."""
        self._step_back(os.getpid())

    async def connected(self, connection: Any) -> None:
        """For a pool's `init`: the backend of a new connection steps back, if it is one of this machine."""
        pid = connection.get_server_pid()
        if _is_backend_here(pid):
            self._step_back(pid)

    def _step_back(self, pid: int) -> None:
        if self._nice <= 0:
            return
        _renice(pid, self._nice)
        if not _renice_group(pid, self._nice):
            task = asyncio.get_running_loop().create_task(self._renice_group_later(pid))
            self._later.add(task)
            task.add_done_callback(self._later.discard)

    async def _renice_group_later(self, pid: int) -> None:
        for _ in range(_TRIES):
            await asyncio.sleep(_AGAIN_SECONDS)
            if _renice_group(pid, self._nice):
                return


def _is_backend_here(pid: int) -> bool:
    """Whether the process of that number is a backend which is talked to over a socket of this machine.

    Of a server elsewhere the number means nothing here; a backend says in its title whom it serves.
    """
    with contextlib.suppress(OSError):
        title = (_PROCESSES / str(pid) / "cmdline").read_bytes()
        return title.startswith(b"postgres:") and b"[local]" in title
    return False


def _renice(pid: int, nice: int) -> None:
    with contextlib.suppress(OSError):
        for thread in (_PROCESSES / str(pid) / "task").iterdir():
            number = int(thread.name)
            if os.getpriority(os.PRIO_PROCESS, number) < nice:
                os.setpriority(os.PRIO_PROCESS, number, nice)


def _renice_group(pid: int, nice: int) -> bool:
    """Whether that is done with: done, or not to be done. False when the kernel wants it later."""
    group = _PROCESSES / str(pid) / "autogroup"
    try:
        # A session that somebody else leads is a shell's, say, with whatever else was started there.
        if os.getsid(pid) == pid and int(group.read_text().rpartition(" ")[2]) < nice:
            group.write_text(str(nice))
    except BlockingIOError:
        return False
    except (OSError, ValueError):
        return True
    return True
