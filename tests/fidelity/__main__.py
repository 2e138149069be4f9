"""A soak: the fidelity properties for as long as one likes, with a new seed for every round.

python -m tests.fidelity [--minutes N] [--seed S] [--keep FOLDER]

Prints a line a round. What fails is shown and saved to the folder; the next round goes on. The exit code is 1 when
anything failed. A single round is repeated by its seed with `--minutes 0`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.fidelity import properties
from tests.fidelity.checks import Unfaithful
from tests.fidelity.rig import Rig, running_rig

Property = Callable[[Rig, int, int], None]
ROUND: dict[str, tuple[Property, int]] = {
    "answers": (properties.answers, 400),
    "requests": (properties.asked, 200),
    "definitions": (properties.defined, 200),
}


def soak(rig: Rig, seconds: float, first: int, keep: Path) -> int:
    """Rounds until the time is over, at least one; returns how many properties failed."""
    began, number, failed = time.monotonic(), first, 0
    while number == first or time.monotonic() - began < seconds:
        for name, (check, count) in ROUND.items():
            failed += _failed(rig, name, check, count, number, keep)
        counted = ", ".join(f"{rig.counted.get(name, 0):,} {name}" for name in ROUND)
        print(f"{time.monotonic() - began:7.0f} s  seed {number}  {counted}  {failed} failed", flush=True)
        number += 1
    return failed


def _failed(rig: Rig, name: str, check: Property, count: int, number: int, keep: Path) -> bool:
    try:
        check(rig, count, number)
    except (Unfaithful, AssertionError, TimeoutError, OSError) as error:
        # Hypothesis notes the smallest example on the error; it stands at the end of the text.
        text = "".join(traceback.format_exception(error))
        keep.mkdir(parents=True, exist_ok=True)
        file = keep / f"{name}-{number}.txt"
        file.write_text(f"python -m tests.fidelity --minutes 0 --seed {number}\n\n{text}")
        print(f"FAILED {name}, seed {number}: {error}\n  saved to {file}", flush=True)
        return True
    return False


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the first round")
    parser.add_argument("--keep", type=Path, default=Path("soak-failures"), help="folder for what fails")
    options = parser.parse_args(argv)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    print(f"seed {options.seed}, {options.minutes:g} minutes", flush=True)
    with tempfile.TemporaryDirectory(prefix="cb-soak-") as directory, running_rig(Path(directory)) as rig:
        return 1 if soak(rig, options.minutes * 60, options.seed, options.keep) else 0


if __name__ == "__main__":
    sys.exit(main())
