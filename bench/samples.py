"""What was measured, as one JSON file that grows with every sample, so that a run can be stopped and gone on with."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
from collections.abc import Iterable
from pathlib import Path

import msgspec

from tests.support.node_tools import node


class Cell(msgspec.Struct, frozen=True):
    """One place of the table: a gateway over an upstream of a kind, in an era, with so many calls in flight.

    `half`: calls are due at a constant rate, half of what was reached with as many in flight (`bench.half_load`).
    """

    gateway: str
    kind: str
    era: str
    conc: int
    half: bool = False


class Sample(msgspec.Struct):
    """One measurement of a cell. CPU in microseconds per call; `foreign` and `stolen` in cores.

    `stopped` processes of other gateways were stopped meanwhile. `due`: calls/s that were due, 0 in a closed loop.
    """

    cell: Cell
    round: int
    secs: float
    calls: int
    errors: int
    calls_per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    cpu_us: float
    upstream_us: float
    load_us: float
    by_process: dict[str, float] = {}
    foreign: float = 0.0
    stolen: float = 0.0
    load1: float = 0.0
    noisy: bool = False
    stopped: int = 0
    wrong: list[str] = []
    due: float = 0.0


class Gateway(msgspec.Struct):
    """What is known of a gateway apart from its samples, by kind of upstream.

    `commands` start it; `cold_s` is until the first right answer, `warm_s` the same of a second start with what the
    first one has made (nothing where it keeps nothing); `idle_cores` and `rest_mib` are from before the load,
    `memory_mib` from after it.
    """

    name: str
    about: str
    version: str = ""
    full: bool = False
    commands: dict[str, str] = {}
    idle_cores: dict[str, float] = {}
    cold_s: dict[str, float] = {}
    warm_s: dict[str, float] = {}
    rest_mib: dict[str, float] = {}
    memory_mib: dict[str, float] = {}
    not_measured: dict[str, str] = {}


class Run(msgspec.Struct):
    """A whole run: where, of what, with which options."""

    machine: str
    revision: str
    options: dict[str, str]
    started: str
    gateways: dict[str, Gateway] = {}
    samples: list[Sample] = []
    notes: list[str] = []
    minutes: float = 0.0
    finished: bool = False

    def of(self, cell: Cell) -> list[Sample]:
        """The samples of a cell."""
        return [sample for sample in self.samples if sample.cell == cell]

    def cells(self, half: bool = False) -> list[Cell]:
        """Every cell that has samples, in the order in which they were first taken; at full load or at half."""
        return list(dict.fromkeys(sample.cell for sample in self.samples if sample.cell.half == half))


class Store:
    """The file of a run. Every `save` replaces it as a whole, so a stop at any moment leaves a readable one."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def load(self) -> Run | None:
        """What the file holds, or None when there is none that can be read."""
        try:
            return msgspec.json.decode(self.file.read_bytes(), type=Run)
        except (OSError, msgspec.MsgspecError):
            return None

    def save(self, run: Run) -> None:
        """Write it."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.file.with_suffix(".tmp")
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1))
        fresh.replace(self.file)

    def resumed(self, fresh: Run) -> Run:
        """The unfinished run of the same code with the same options, if the file has one; else `fresh`."""
        found = self.load()
        same = found is not None and (found.revision, found.options) == (fresh.revision, fresh.options)
        return found if found is not None and same and not found.finished else fresh


def median(samples: Iterable[Sample], field: str) -> float:
    """The median of a field over samples that have calls; 0 when there is none."""
    values = [float(getattr(sample, field)) for sample in samples if sample.calls]
    return statistics.median(values) if values else 0.0


def spread(samples: Iterable[Sample]) -> float:
    """How far calls/s lie apart, as a part of their median."""
    values = [sample.calls_per_s for sample in samples]
    middle = statistics.median(values) if values else 0.0
    return (max(values) - min(values)) / middle if middle else 0.0


def machine() -> str:
    """What this machine is, in a line."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    memory = next((int(line.split()[1]) / 2**20 for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    software = f"Linux {platform.release()}, Python {platform.python_version()}{_node()}"
    return f"{os.cpu_count()} cores of {model}, {memory:.0f} GiB, {software}"


def _node() -> str:
    """The version of Node, which some peers run on, where there is one."""
    try:
        found = subprocess.run([node(), "--version"], capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return ""
    return f", Node {found.stdout.strip().removeprefix('v')}"


def revision(root: Path) -> str:
    """The commit that is checked out, with a mark when files differ from it; empty outside git.

    What a run writes itself, and other text, does not count.
    """

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    commit = git("describe", "--always", "--abbrev=10")
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!*.md", ":!bench/plot.svg")
    return f"{commit}-dirty" if commit and changed else commit


def _lines(file: str) -> list[str]:
    try:
        return Path(file).read_text().splitlines()
    except OSError:
        return []
