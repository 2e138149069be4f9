"""What `--shapes` sends: every line of its table, and which of them are measured in turn with a plain echo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.measure import ECHO, Shape
from bench.samples import Cell
from bench.scenes import CALLBOARD, CROWDED, DIRECT, ORGANISATIONS, PUBLISHED, TWICE
from bench.targets import Goal

_IDLE = 1000
# Pairs of a round. Many short ones: who comes first changes, so that what drifts in the machine is nobody's.
_PAIRS = 2
FLAT = Goal("CPU per call over that of the plain echo", 1.10, unit=" times", digits=2)
DOUBLED = Goal(
    "calls/s over those of one of each on twice the cores (2 x CPU per call of one of each / of two)",
    1.70,
    at_least=True,
    unit=" times",
    digits=2,
)


@dataclass(frozen=True)
class Traffic:
    """One line: what is sent, to which organisation's playbook, with how many in flight; `direct` as well or not.

    Meanwhile there are `idle` open streams, or versions are published. With `compared` it is measured
    in pairs with the plain echo, which says how much dearer it is; `bound` is false where that is only to be shown.
    """

    name: str
    organisation: str
    conc: int
    shape: Shape = ECHO
    era: str = "2026"
    direct: bool = True
    idle: int = 0
    publishing: bool = False
    compared: Goal | None = None
    bound: bool = True
    where: str = CALLBOARD

    @property
    def cell(self) -> Cell:
        """Where its samples are kept."""
        return Cell(self.where, self.name, self.era, self.conc)

    @property
    def base(self) -> Traffic:
        """The plain echo of its pairs."""
        return replace(PLAIN, name=f"plain echo in turn with {self.name}", direct=False)


PLAIN = Traffic("echo", "plain", 64)


@dataclass(frozen=True)
class Step:
    """One sample that is to be taken, of Callboard or of the upstream itself; `number` is that of the round or pair."""

    one: Traffic
    number: int
    direct: bool = False
    paired: bool = False

    @property
    def cell(self) -> Cell:
        """Where it is kept."""
        return direct(self.one) if self.direct else self.one.cell


def direct(one: Traffic) -> Cell:
    """Where the samples of the upstream itself are kept."""
    return Cell(DIRECT, one.name, one.era, one.conc)


def steps(lines: Sequence[Traffic], rounds: int) -> list[Step]:
    """Everything that a run takes, round by round."""
    return [step for number in range(rounds) for one in lines for step in _steps(one, number)]


def _steps(one: Traffic, number: int) -> list[Step]:
    if one.compared is None:
        return [Step(one, number), *([Step(one, number, direct=True)] if one.direct else [])]
    found = []
    for pair in range(number * _PAIRS, (number + 1) * _PAIRS):
        both = [Step(one.base, pair, paired=True), Step(one, pair, paired=True)]
        found += both[::-1] if pair % 2 else both
    return found


def _listing(count: int) -> Traffic:
    page = min(count, 1000)
    shape = Shape(method="tools/list", expect=f"tools:{page}")
    return Traffic(f"tools/list of {count:,}, a page of {page:,}", f"tools{count}", 16, shape, direct=False)


def _flat(name: str, organisation: str, where: str = CALLBOARD) -> Traffic:
    return Traffic(name, organisation, 64, direct=False, compared=FLAT, where=where)


def _two(name: str, conc: int, bound: bool) -> Traffic:
    return Traffic(name, "plain", conc, direct=False, compared=DOUBLED, bound=bound, where=TWICE)


LISTED = _listing(1000)
TWO = (
    _two("echo, two of each service, 64 in flight for each", 128, bound=True),
    _two("echo, two of each service, 64 in flight for both", 64, bound=False),
)
TRAFFIC: tuple[Traffic, ...] = (
    PLAIN,
    _flat("echo among 10 tools", "tools10"),
    _flat("echo among 1,000 tools", "tools1000"),
    _flat("echo among 10,000 tools", "tools10000"),
    _flat("echo, 1,000 playbooks", "playbooks1000"),
    _flat(f"echo, {ORGANISATIONS:,} organisations", "plain", CROWDED),
    *TWO,
    _listing(10),
    LISTED,
    _listing(10000),
    Traffic("result of 100 KB", "plain", 16, Shape(tool="big", arguments='{"bytes":100000}', expect="size:100000")),
    Traffic("result of 5 MB", "plain", 4, Shape(tool="big", arguments='{"bytes":5000000}', expect="size:5000000")),
    Traffic("50 progress notifications", "plain", 16, Shape("tools/call", "progress", '{"steps":50}', "events:50")),
    Traffic("upstream takes 100 ms", "plain", 1000, Shape(tool="slow", arguments='{"seconds":0.1}')),
    Traffic("a session, one call, 2025-11-25", "plain", 16, Shape(per_session=1), "2025"),
    Traffic("echo in 1,000 sessions, 2025-11-25", "plain", 1000, era="2025"),
    Traffic(f"echo beside {_IDLE:,} idle streams", "plain", 64, direct=False, idle=_IDLE),
    Traffic(f"echo while {PUBLISHED} versions a second are published", "plain", 64, direct=False, publishing=True),
)


def wanted(only: str) -> list[Traffic]:
    """The lines whose name contains one of the words."""
    words = [word.lower() for word in only.split(",") if word]
    return [one for one in TRAFFIC if not words or any(word in one.name.lower() for word in words)]
