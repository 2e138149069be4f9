"""While one is measured the processes of the others stand still, and nobody stays so or is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from bench.accounting import tree
from bench.field import awake
from bench.pausing import Turns, go_on, stop
from bench.peers.launch import launched, wrong
from bench.peers.peer import Endpoint
from tests.support.upstreams.launch import running
from tests.support.waiting import PATIENCE, eventually

ROOT = Path(__file__).resolve().parents[2]
# A process with two children, which says goodbye when it is asked to end.
FAMILY = ["sh", "-c", "trap 'kill %1 %2; exit 7' TERM; sleep 600 & sleep 600 & echo there; wait"]
RUN = f"""
import subprocess, sys
from bench.pausing import Turns
turns = Turns().__enter__()
pids = []
for _ in range(2):
    process = subprocess.Popen({FAMILY!r}, stdout=subprocess.PIPE, start_new_session=True)
    process.stdout.readline()
    turns.join(process.pid)
    pids.append(process.pid)
turns.only(pids[1])
print(*pids, flush=True)
sys.stdin.readline()
turns.__exit__()
"""


def state(pid: int) -> str:
    """T is stopped, Z has ended, empty is gone."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def states(pids: Iterable[int]) -> set[str]:
    return {state(pid) for pid in pids}


def ended(pids: Iterable[int]) -> bool:
    return states(pids) <= {"", "Z"}


async def test_only_who_has_its_turn_runs(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    with Turns() as turns:
        async with launched(FAMILY, tmp_path / "one") as one, launched(FAMILY, tmp_path / "other") as other:
            await eventually(lambda: len(tree([one.pid])) == len(tree([other.pid])) == 3)
            families = {process.pid: tuple(tree([process.pid])) for process in (one, other)}
            for process in (one, other):
                turns.join(process.pid)
            assert not turns.only(one.pid)
            await eventually(lambda: states(families[other.pid]) == {"T"})
            assert "T" not in states(families[one.pid])
            assert turns.stopped == 3
            assert turns.only(other.pid)
            await eventually(lambda: states(families[one.pid]) == {"T"} and "T" not in states(families[other.pid]))
            assert not turns.only(0)
            await eventually(lambda: states([*families[one.pid], *families[other.pid]]) == {"T"})
        # Both were stopped, and yet were asked to end, and ended, as if they had not been.
        assert (one.returncode, other.returncode) == (7, 7)
    assert ended([*families[one.pid], *families[other.pid]])


async def test_who_was_stopped_is_waited_for_until_it_answers() -> None:
    async with running("echo") as upstream, running("echo") as other:
        endpoint = Endpoint(upstream.url, upstream.pid)
        with Turns() as turns:
            turns.join(upstream.pid)
            turns.join(other.pid)
            turns.only(other.pid)
            assert await wrong(endpoint, "2026", grace=0.2) is not None
            assert await awake(turns, endpoint, "2026")
            assert await wrong(endpoint, "2026", grace=2.0) is None
            assert turns.stopped == 1
        await eventually(lambda: "T" not in states([other.pid]))


async def test_children_that_are_started_while_one_looks_are_stopped_as_well(tmp_path: Path) -> None:
    busy = ["sh", "-c", "while :; do sleep 0.01 & wait; done"]
    async with launched(busy, tmp_path) as process:
        for _ in range(20):
            stop(process.pid)
            await eventually(lambda: states(tree([process.pid])) <= {"T", "Z"})
            go_on(process.pid)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGHUP])
async def test_a_run_that_is_killed_leaves_nobody_behind(how: signal.Signals) -> None:
    pids = await families_of_a_run()
    pids.run.send_signal(how)
    await eventually(lambda: ended(pids.all))
    await asyncio.wait_for(asyncio.to_thread(pids.run.wait), PATIENCE)


async def test_a_run_that_ends_in_order_lets_all_go_on() -> None:
    pids = await families_of_a_run()
    pids.run.communicate("go\n", timeout=10)
    try:
        assert not states(pids.all) & {"T", "Z", ""}
    finally:
        for pid in pids.all:
            os.kill(pid, signal.SIGKILL)


class Started:
    """A run with two families, the first of which is stopped."""

    def __init__(self, run: subprocess.Popen[str], roots: Iterable[int]) -> None:
        self.run = run
        self.all = tuple(tree(roots))


async def families_of_a_run() -> Started:
    pipe = subprocess.PIPE
    # Whoever runs the tests may have SIGHUP ignored (nohup), and children inherit that.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        run = subprocess.Popen([sys.executable, "-c", RUN], cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert run.stdout is not None
    line = await asyncio.wait_for(asyncio.to_thread(run.stdout.readline), PATIENCE)
    found = Started(run, map(int, line.split()))
    assert len(found.all) == 6
    assert {"T"} < states(found.all)
    return found
