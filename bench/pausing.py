"""Turns: while one gateway is measured, the processes of all others are stopped (SIGSTOP).

A stopped process uses no processor and answers nothing; it goes on (SIGCONT) where it was, with its timers overdue.
Nobody stays stopped or is left behind: who ends a gateway lets it go on first (`bench.peers.launch`), and a keeper, a
process of its own, kills everything that it was told of when this process is gone without having said so.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

from bench.accounting import tree

_ROOT = Path(__file__).resolve().parents[1]
_BEFORE_PARENTS_SECONDS = 0.02


def stop(root: int) -> set[int]:
    """Stop a process and everything below it, parents first; returns their ids.

    Who starts children may start one while the tree is read, so it is read until there is nobody new.
    """
    stopped: set[int] = set()
    while found := [pid for pid in tree([root]) if pid not in stopped]:
        for pid in found:
            _signal(pid, signal.SIGSTOP)
        stopped.update(found)
    return stopped


def go_on(root: int) -> None:
    """Let a process and everything below it go on, children first: a parent that waits for an answer finds one."""
    family = list(tree([root]))
    for pid in reversed(family[1:]):
        _signal(pid, signal.SIGCONT)
    if len(family) > 1:
        time.sleep(_BEFORE_PARENTS_SECONDS)
    _signal(root, signal.SIGCONT)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


class Keeper:
    """A process that kills those it was told of last as soon as this one is gone."""

    def __init__(self) -> None:
        words = [sys.executable, "-m", "bench.pausing"]
        # In a session of its own: Ctrl-C is for us, who will end everything in order.
        self._process = subprocess.Popen(words, cwd=_ROOT, stdin=subprocess.PIPE, text=True, start_new_session=True)

    def keep(self, pids: Iterable[int]) -> None:
        """These, and no others any more."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps([[pid, started(pid)] for pid in pids]) + "\n")
            self._process.stdin.flush()

    def close(self) -> None:
        """There is nobody to keep."""
        self.keep(())
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()


class Turns:
    """Whose turn it is, among process trees known by their roots.

    `with Turns() as turns`: `join` a tree after it was started, `only` it runs from then on; at the end all go on.
    """

    def __init__(self) -> None:
        self._roots: dict[int, set[int]] = {}  # what of each is stopped

    def __enter__(self) -> Self:
        self._keeper = Keeper()
        return self

    def __exit__(self, *_: object) -> None:
        for root in self._roots:
            go_on(root)
        self._keeper.close()

    @property
    def stopped(self) -> int:
        """How many processes are stopped."""
        return sum(len(pids) for pids in self._roots.values())

    def join(self, root: int) -> None:
        """A tree more, which runs until it is somebody else's turn; 0 is nobody."""
        if root:
            self._roots.setdefault(root, set())
            self._tell()

    def leave(self, root: int) -> None:
        """A tree is to be ended."""
        if self._roots.pop(root, None) is not None:
            go_on(root)
        self._tell()

    def only(self, root: int) -> bool:
        """Stop all but this one (0: all); whether it was stopped before, so that it has to find its feet again."""
        for other, pids in self._roots.items():
            if other != root and not pids:
                self._roots[other] = {other}  # some of it may be stopped when this is interrupted
                self._roots[other] = stop(other)
        slept = bool(self._roots.get(root))
        if slept:
            go_on(root)
            self._roots[root] = set()
        self._tell()
        return slept

    def _tell(self) -> None:
        self._keeper.keep(tree(self._roots))


def started(pid: int) -> int:
    """When a process was started, in ticks since the machine was: what tells it from a later one of the same id."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, IndexError):
        return 0


def _kept(lines: Iterable[str]) -> list[tuple[int, int]]:
    """What the last whole line says."""
    last: list[tuple[int, int]] = []
    for line in lines:
        if line.endswith("\n"):
            last = [(pid, since) for pid, since in json.loads(line)]
    return last


def _below(kept: Iterable[tuple[int, int]]) -> Iterator[int]:
    """Those that still are who they were, and what they have started since."""
    yield from tree(pid for pid, since in kept if since and started(pid) == since)


def main() -> None:
    """Be the keeper: read until there is nobody at the other end, then kill (which stopped processes obey as well)."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for pid in list(_below(_kept(sys.stdin))):
        _signal(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
