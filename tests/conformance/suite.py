"""Runs the suite against a URL and reads what it wrote.

The suite's own rule is that a scenario passes without a failed check, so one that checks nothing passes too. Here it
passes when nothing failed, nothing warned, nothing was skipped, and as many checks went well as `checks.yaml` says
(`client_checks.yaml` for the client leg).
"""

from __future__ import annotations

import asyncio
import functools
import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.support import node_tools
from tests.support.upstreams.launch import die_with_parent

REVISIONS = ("2025-11-25", "2026-07-28")
# Not scored by the suite, but the reference servers pass them, so Callboard must.
UNSCORED = {
    "2025-11-25": ("server-session-lifecycle", "json-schema-2020-12", "server-sse-polling"),
    "2026-07-28": ("json-schema-2020-12", "http-header-validation", "http-custom-header-server-validation"),
}
# Scenarios of extensions, which are in no requirements. Of the tasks extension one is left out, because the suite skips
# it whatever the server does: `tasks-status-notifications`.
EXTENSIONS = {
    "tasks": (
        "tasks-lifecycle",
        "tasks-capability-negotiation",
        "tasks-wire-fields",
        "tasks-request-state-removal",
        "tasks-mrtr-input",
        "tasks-request-headers",
        "tasks-dispatch-and-envelope",
        "tasks-required-task-error",
        "tasks-mrtr-composition",
    )
}
_AT_ONCE = 3
_RUN_SECONDS = 90.0
_SCENARIO_MILLISECONDS = 10_000
_STAMP = re.compile(r"-\d{4}-\d\d-\d\dT[\d-]+Z$")
_CHECKS = {"server": "checks.yaml", "client": "client_checks.yaml", "authorization": "authorization_checks.yaml"}
_FAULTS = {"FAILURE": "failed", "WARNING": "warned", "SKIPPED": "skipped"}


class SuiteBroken(Exception):
    """The suite did not run; nothing can be said about the server."""


class Needed(NamedTuple):
    """How many checks go well, and how many are skipped, where nothing is missing."""

    ok: int
    skipped: int = 0


@dataclass(frozen=True)
class Outcome:
    """What one scenario found. `needed` is the number of checks that it makes of who has everything."""

    scenario: str
    scored: bool
    needed: int
    ran: bool = False
    ok: int = 0
    failed: int = 0
    warned: int = 0
    skipped: int = 0
    complaints: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return self.ran and not self.complaints and self.ok >= self.needed

    @property
    def why(self) -> str:
        """Why it did not pass, in the words of the suite."""
        if not self.ran:
            return "did not run"
        short = [f"only {self.ok} of {self.needed} checks"] if self.ok < self.needed and not self.complaints else []
        return "; ".join([*self.complaints, *short])


@dataclass(frozen=True)
class Report:
    """All outcomes of one run, in the order of the requirements."""

    outcomes: tuple[Outcome, ...]

    def passed(self, scored_only: bool = False) -> tuple[int, int]:
        """Scenarios that passed, of all."""
        counted = self._counted(scored_only)
        return sum(outcome.passed for outcome in counted), len(counted)

    def checks(self, scored_only: bool = False) -> tuple[int, int]:
        """Checks that went well, of those that a server with everything gets."""
        counted = self._counted(scored_only)
        return sum(min(outcome.ok, outcome.needed) for outcome in counted), sum(outcome.needed for outcome in counted)

    def total(self, kind: str) -> int:
        """All `failed`, `warned` or `skipped` checks."""
        return sum(getattr(outcome, kind) for outcome in self.outcomes)

    @property
    def not_passing(self) -> dict[str, Outcome]:
        return {outcome.scenario: outcome for outcome in self.outcomes if not outcome.passed}

    def _counted(self, scored_only: bool) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.scored or not scored_only]


@functools.cache
def requirements(revision: str, leg: str = "server") -> tuple[str, ...]:
    """The scored scenarios of a revision, from the suite itself."""
    text = node_tools.conformance_requirements(revision).read_text()
    return tuple(yaml.safe_load(text)[leg])


@functools.cache
def needed(revision: str, leg: str = "server") -> dict[str, Needed]:
    """Scenario -> checks that a server (or client) with everything gets."""
    text = Path(__file__).with_name(_CHECKS[leg]).read_text()
    counts: dict[str, int | dict[str, int]] = yaml.safe_load(text)[revision]
    return {name: Needed(count) if isinstance(count, int) else Needed(**count) for name, count in counts.items()}


def outcomes(folder: Path, revision: str, scored: Iterable[str], unscored: Iterable[str]) -> Report:
    """Read the `checks.json` of every scenario; one that left none did not run."""
    files = {_scenario(path): path for path in sorted(folder.glob("**/checks.json"))}
    wanted = [*((name, True) for name in scored), *((name, False) for name in unscored)]
    counts = needed(revision)
    return Report(tuple(outcome(name, is_scored, counts[name], files.get(name)) for name, is_scored in wanted))


async def run_server_suite(url: str, revision: str, folder: Path | None = None) -> Report:
    """Run every server scenario of a revision, or of an extension, against `url`; its host must be `localhost`.

    The suite's files stay in `folder` if one is given. Raises `SuiteBroken` when the suite itself does not run.
    """
    with tempfile.TemporaryDirectory(prefix="conformance-") as temporary:
        target = folder or Path(temporary)
        command = await asyncio.to_thread(node_tools.conformance_suite)
        words = [*command, "server", "--url", url, "--timeout", str(_SCENARIO_MILLISECONDS), "-o", str(target)]
        if revision in EXTENSIONS:
            said = await _one_by_one(words, EXTENSIONS[revision])
            report = outcomes(target, revision, (), EXTENSIONS[revision])
        else:
            said, _ = await run_suite([*words, "--requirements", revision], _RUN_SECONDS)
            report = outcomes(target, revision, requirements(revision), UNSCORED[revision])
    if not any(outcome.ran for outcome in report.outcomes):
        raise SuiteBroken(said[-2000:])
    return report


async def _one_by_one(words: list[str], scenarios: Iterable[str]) -> str:
    """The suite runs scenarios of extensions by their name only."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def run(scenario: str) -> str:
        async with places:
            said, _ = await run_suite([*words, "--scenario", scenario], _RUN_SECONDS)
            return said

    return "\n".join(await asyncio.gather(*map(run, scenarios)))


async def run_suite(command: Sequence[str], within: float, **variables: str) -> tuple[str, int]:
    """The output of the suite and its exit code, which for a whole set counts what nobody can pass yet."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**node_tools.node_environment(), **variables},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        preexec_fn=die_with_parent(),
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), within)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return output.decode(errors="replace"), process.returncode or 0


def _scenario(path: Path) -> str:
    return _STAMP.sub("", path.parent.name).removeprefix("server-")


def outcome(scenario: str, scored: bool, count: Needed, path: Path | None) -> Outcome:
    """Read one `checks.json`."""
    if path is None:
        return Outcome(scenario, scored, count.ok)
    checks: list[dict[str, Any]] = json.loads(path.read_text())
    found = Counter(check["status"] for check in checks)
    counted = set(_FAULTS) - ({"SKIPPED"} if found["SKIPPED"] <= count.skipped else set())
    return Outcome(
        scenario,
        scored,
        count.ok,
        ran=True,
        ok=found["SUCCESS"],
        **{field: found[status] for status, field in _FAULTS.items()},
        complaints=tuple(_complaint(check) for check in checks if check["status"] in counted),
    )


def _complaint(check: dict[str, Any]) -> str:
    words = check.get("errorMessage") or json.dumps(check.get("details", {}))
    return f"{check['id']} {_FAULTS[check['status']]}: {words}"
