"""A room that nobody waits for, and its sessions in Postgres, get less of a core than those that answer calls."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from callboard.platform.background import Background
from callboard.platform.postgres import open_pool
from tests.support.waiting import eventually

groups = pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="this kernel has no groups of sessions")


def nice_of(pid: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, pid)


def group_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/autogroup").read_text().rpartition(" ")[2])


class Elsewhere:
    """A connection to a server on another machine."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def get_server_pid(self) -> int:
        return self._pid


@asynccontextmanager
async def backend(dsn: str, nice: int) -> AsyncIterator[int]:
    """The process in Postgres behind a pool that was opened by a room with this nice value."""
    pool = await open_pool(dsn, 2, opened=Background(nice).connected)
    try:
        yield await pool.fetchval("select pg_backend_pid()")
    finally:
        await pool.close()


async def test_the_sessions_of_such_a_room_step_back(dsn: str) -> None:
    async with backend(dsn, 7) as pid:
        assert nice_of(pid) == 7


@groups
async def test_where_the_kernel_shares_by_session_the_session_steps_back(dsn: str) -> None:
    async with backend(dsn, 7) as pid:
        await eventually(lambda: group_of(pid) == 7)


async def test_those_of_other_rooms_stay_where_they_are(dsn: str) -> None:
    async with backend(dsn, 0) as pid:
        assert nice_of(pid) == 0
    pool = await open_pool(dsn, 2)
    try:
        assert nice_of(await pool.fetchval("select pg_backend_pid()")) == 0
    finally:
        await pool.close()


async def test_a_process_that_only_has_the_number_of_a_backend_elsewhere_is_left_alone() -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as other:
        try:
            await Background(7).connected(Elsewhere(other.pid))
            assert nice_of(other.pid) == 0
        finally:
            other.kill()


def test_the_room_itself_steps_back_and_nobody_of_the_shell_that_started_it() -> None:
    script = "import os; from callboard.platform.background import Background; Background(7).join(); {}"
    own = "print(os.getpriority(os.PRIO_PROCESS, 0), os.getpriority(os.PRIO_PROCESS, os.getppid()))"
    shell = Path("/proc/self/autogroup").read_bytes() if Path("/proc/self/autogroup").exists() else b""

    said = subprocess.run([sys.executable, "-c", script.format(own)], capture_output=True, text=True, check=True)

    assert said.stdout.split() == ["7", str(nice_of(0))]
    assert not shell or Path("/proc/self/autogroup").read_bytes() == shell


def test_who_is_further_back_already_stays_there() -> None:
    script = (
        "import os; os.nice(12); from callboard.platform.background import Background; Background(7).join(); "
        "print(os.getpriority(os.PRIO_PROCESS, 0))"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert said.stdout.split() == ["12"]


RELUCTANT = """
import asyncio, os, subprocess
from pathlib import Path
from callboard.platform import background

async def main(others):
    stepping = background.Background(7)
    for other in others:
        stepping._step_back(other.pid)
    async with asyncio.timeout(20):
        while stepping._later:
            await asyncio.wait(stepping._later)
    print(*(Path(f"/proc/{other.pid}/autogroup").read_text().rpartition(" ")[2].strip() for other in others))

if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
others = [subprocess.Popen(["sleep", "60"], start_new_session=True) for _ in range(3)]
try:
    asyncio.run(main(others))
finally:
    for other in others:
        other.kill()
"""


@groups
def test_a_kernel_that_wants_to_be_asked_again_later_is_asked_again_later() -> None:
    """It takes ten changes a second of a user without rights."""
    said = subprocess.run([sys.executable, "-c", RELUCTANT], capture_output=True, text=True, check=True)

    assert said.stdout.split() == ["7", "7", "7"]
