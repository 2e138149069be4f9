"""CPU time and memory of process trees from /proc, and how busy the rest of the machine was meanwhile.

    python -m bench.accounting --pids 1234,1300 --secs 4

CPU is utime + stime, which the kernel keeps for a whole process with its exited threads, plus that of reaped
children. A child that is gone is thus accounted to the parent that waited for it, and a total never shrinks.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

_PROC = Path("/proc")
_TICK = float(os.sysconf("SC_CLK_TCK"))
_PAGE = os.sysconf("SC_PAGE_SIZE")
_BUSY_FIELDS = (0, 1, 2, 5, 6)
_STOLEN_FIELD = 7


@dataclass(frozen=True)
class Process:
    """One process and the CPU seconds it has used."""

    pid: int
    parent: int
    name: str
    cpu: float


@dataclass(frozen=True)
class Memory:
    """MiB. PSS divides shared pages among the processes that share them."""

    rss: float
    pss: float


@dataclass(frozen=True)
class Usage:
    """What happened between two moments. `foreign_cores` is load that is neither ours nor our caller's.

    `stolen_cores` is what the host of a virtual machine took away from it.
    """

    secs: float
    cpu_s: dict[str, float]
    busy_s: float
    self_s: float
    foreign_cores: float
    stolen_cores: float = 0.0

    @property
    def total_s(self) -> float:
        """CPU seconds of all measured trees."""
        return sum(self.cpu_s.values())


def tree(roots: Iterable[int]) -> dict[int, Process]:
    """The processes with these ids and everything below them."""
    everything = {process.pid: process for process in _all()}
    children: defaultdict[int, list[int]] = defaultdict(list)
    for process in everything.values():
        children[process.parent].append(process.pid)
    found: dict[int, Process] = {}
    waiting = [pid for pid in roots if pid in everything]
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found[pid] = everything[pid]
            waiting += children[pid]
    return found


def cpu_by_name(roots: Iterable[int]) -> dict[str, float]:
    """CPU seconds so far, summed over the processes of the same name."""
    total: defaultdict[str, float] = defaultdict(float)
    for process in tree(roots).values():
        total[process.name] += process.cpu
    return dict(total)


def memory_by_name(roots: Iterable[int]) -> dict[str, Memory]:
    """Resident memory now, summed over the processes of the same name."""
    total: dict[str, Memory] = {}
    for process in tree(roots).values():
        own, before = _memory(process.pid), total.get(process.name, Memory(0.0, 0.0))
        total[process.name] = Memory(round(before.rss + own.rss, 2), round(before.pss + own.pss, 2))
    return total


def machine_busy() -> float:
    """CPU seconds the whole machine has used since it started."""
    fields = _machine()
    return sum(fields[n] for n in _BUSY_FIELDS)


def machine_stolen() -> float:
    """CPU seconds that the host gave to others while this machine wanted them."""
    return _machine()[_STOLEN_FIELD]


def _machine() -> list[float]:
    fields = (_PROC / "stat").read_text().split("\n", 1)[0].split()[1:]
    return [int(field) / _TICK for field in fields]


class Meter:
    """Measures from its creation (or the last `restart`) to `read`."""

    def __init__(self, roots: Iterable[int]) -> None:
        self.roots = tuple(roots)
        self.restart()

    def restart(self) -> None:
        """Measure from now."""
        self._cpu = cpu_by_name(self.roots)
        self._busy, self._stolen = machine_busy(), machine_stolen()
        self._own = time.process_time()
        self._since = time.perf_counter()

    def read(self) -> Usage:
        """What was used since the start."""
        secs = time.perf_counter() - self._since
        own = time.process_time() - self._own
        busy, stolen = machine_busy() - self._busy, machine_stolen() - self._stolen
        now = cpu_by_name(self.roots)
        used = {name: round(cpu - self._cpu.get(name, 0.0), 3) for name, cpu in now.items()}
        counted = 0.0 if os.getpid() in tree(self.roots) else own
        foreign = max(0.0, busy - sum(used.values()) - counted) / secs if secs else 0.0
        taken = stolen / secs if secs else 0.0
        return Usage(round(secs, 3), used, round(busy, 3), round(own, 3), round(foreign, 3), round(taken, 3))


def _all() -> Iterable[Process]:
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (process := _process(entry)) is not None:
            yield process


def _process(entry: Path) -> Process | None:
    try:
        stat = (entry / "stat").read_text()
        argv = (entry / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return None
    comm = stat[stat.index("(") + 1 : stat.rindex(")")]
    fields = stat[stat.rindex(")") + 2 :].split()
    cpu = sum(int(field) for field in fields[11:15]) / _TICK
    return Process(int(entry.name), int(fields[1]), label(comm, [word.decode("latin-1") for word in argv]), cpu)


def label(comm: str, argv: Sequence[str]) -> str:
    """A name that tells Python and Node processes apart: the module or script, and its start word."""
    words = [word for word in argv if word]
    if not words or not os.path.basename(words[0]).startswith(("python", "node")):
        return comm
    rest = words[1:]
    while rest and rest[0].startswith("-") and rest[0] not in ("-m", "-c"):
        rest = rest[2 if rest[0] in ("-X", "-W") else 1 :]
    if not rest or rest[0] == "-c":
        return comm
    if rest[0] == "-m":
        rest = rest[1:]
    name = os.path.basename(rest[0]) if rest else comm
    start_word = rest[1:2] if len(rest) > 1 and not rest[1].startswith("-") else []
    return " ".join([name, *(os.path.basename(word) for word in start_word)])


def _memory(pid: int) -> Memory:
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]
        values = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines}
        return Memory(values.get("Rss", 0.0), values.get("Pss", 0.0))
    except (OSError, IndexError, ValueError):
        pass
    try:
        resident = int((_PROC / str(pid) / "statm").read_text().split()[1]) * _PAGE / 2**20
    except OSError:
        return Memory(0.0, 0.0)
    return Memory(resident, resident)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure for a while and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pids", required=True, help="root process ids, separated by commas")
    parser.add_argument("--secs", type=float, default=4.0)
    options = parser.parse_args(argv)
    meter = Meter(int(pid) for pid in options.pids.split(","))
    time.sleep(options.secs)
    usage = meter.read()
    memory = {name: asdict(used) for name, used in memory_by_name(meter.roots).items()}
    print(json.dumps({**asdict(usage), "memory_mib": memory}))


if __name__ == "__main__":
    main()
