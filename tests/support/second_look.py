"""Runs pytest, and looks a second time at the few tests that failed: alone, one after the other.

    python -m tests.support.second_look [the arguments of pytest]

What a machine that is busy with other things broke passes alone and is named; what is broken fails again. More than
`MOST` failures, a file that cannot be collected, or a run that ended early gets no second look.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tests.support.outcome import Outcome

MOST = 10
KEPT = ("--every-size",)
"""Arguments that say which tests there are; the others of a run are about how many run at once, and which."""
_FAILED = 1


def worth_a_look(code: int, outcome: Outcome) -> bool:
    """Whether what failed may have failed by chance. `code`: how pytest ended."""
    return code == _FAILED and 1 <= len(outcome.failed) <= MOST and not outcome.broken and not outcome.stopped


def verdict(first: Outcome, again: Outcome) -> tuple[list[str], list[str]]:
    """Which tests passed alone, and which did not: what was not run, or was skipped now, did not pass."""
    passed = set(again.passed)
    return [test for test in first.failed if test in passed], [test for test in first.failed if test not in passed]


def run(arguments: Sequence[str], directory: Path) -> tuple[int, Outcome]:
    """One run of pytest."""
    file = directory / "outcome.json"
    file.unlink(missing_ok=True)
    words = [sys.executable, "-m", "pytest", "-p", "tests.support.outcome", "--outcome-to", str(file), *arguments]
    with subprocess.Popen(words) as pytest:
        try:
            code = pytest.wait()
        except KeyboardInterrupt:
            code = pytest.wait()  # it was told too, and says what it has
    return code, msgspec.json.decode(file.read_bytes(), type=Outcome) if file.exists() else Outcome(broken=True)


def main(arguments: Sequence[str]) -> int:
    """The exit code: 0 when every test passed, be it the second time."""
    with tempfile.TemporaryDirectory() as directory:
        code, first = run(arguments, Path(directory))
        if not worth_a_look(code, first):
            return code
        print(f"\n{len(first.failed)} failed; once more, alone and one after the other:\n", flush=True)
        kept = [argument for argument in arguments if argument in KEPT]
        _, again = run(["-n", "0", *kept, *first.failed], Path(directory))
    alone, never = verdict(first, again)
    for test in alone:
        print(f"failed on a busy machine, passed alone: {test}")
    for test in never:
        print(f"failed, and failed again alone: {test}")
    return _FAILED if never else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
