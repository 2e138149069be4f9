"""Prints the table of `make conformance`; the exit code is 0 when everything is as `expected.yaml` says.

python -m tests.conformance [--only TEXT ...] [--keep FOLDER] [--why]
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import groupby
from pathlib import Path

from tests.conformance import expectations
from tests.conformance.configurations import DIRECT, THROUGH, Configuration
from tests.conformance.expectations import Expectation, Verdict
from tests.conformance.gateway import running_gateway
from tests.conformance.suite import Report, run_server_suite
from tests.support.upstreams.launch import running

_COLUMNS = "{:<46} {:>7} {:>7} {:>8} {:>8} {:>6} {:>6} {:>7}  {}"
_HEAD = ("configuration", "scored", "all", "checks", "all", "failed", "warned", "skipped", "not passing")


@asynccontextmanager
async def targets(directory: Path, replicas: int) -> AsyncIterator[Callable[[Configuration], str]]:
    """Where configurations with so many replicas are found, while their Callboard runs; without any, the upstreams."""
    if replicas == 0:
        async with AsyncExitStack() as leaving:
            ports = {one.fixture: 0 for one in DIRECT}
            for fixture in ports:
                ports[fixture] = (await leaving.enter_async_context(running(*fixture))).port
            yield lambda one: f"http://localhost:{ports[one.fixture]}/mcp"
        return
    place = directory / str(replicas)
    place.mkdir()
    async with running_gateway(place, replicas) as gateway:
        yield gateway.url


async def run(chosen: Iterable[Configuration], keep: Path | None, why: bool) -> bool:
    """Run and print the chosen configurations; whether all were as expected."""
    listed, good = expectations.load(), True
    print(_COLUMNS.format(*_HEAD), flush=True)
    with tempfile.TemporaryDirectory(prefix="cb-conformance-") as temporary:
        for replicas, configurations in groupby(chosen, key=lambda one: one.replicas):
            async with targets(Path(temporary), replicas) as url:
                for one in configurations:
                    folder = keep / _folder(one) if keep else None
                    report = await run_server_suite(url(one), one.revision, folder)
                    good &= _print(one, report, listed, why)
    return good


def _print(configuration: Configuration, report: Report, listed: list[Expectation], why: bool) -> bool:
    verdict = expectations.judge(report, configuration, listed)
    figures = (report.passed(True), report.passed(), report.checks(True), report.checks())
    counts = (report.total(kind) for kind in ("failed", "warned", "skipped"))
    row = (*(f"{some}/{all_}" for some, all_ in figures), *counts, _names(verdict))
    print(_COLUMNS.format(str(configuration), *row), flush=True)
    if why:
        for outcome in report.not_passing.values():
            print(f"    {outcome.scenario}: {outcome.why}", flush=True)
    return verdict.good


def _names(verdict: Verdict) -> str:
    groups = [
        (" ".join(sorted(verdict.unexpected)), "{}"),
        (" ".join(sorted(verdict.expected)), "expected: {}"),
        (" ".join(sorted(verdict.stale)), "STALE in expected.yaml: {}"),
    ]
    return "; ".join(words.format(names) for names, words in groups if names)


def _folder(configuration: Configuration) -> str:
    return str(configuration).replace(",", "").replace(" ", "-")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], help="configurations with this text in their name")
    parser.add_argument("--keep", type=Path, help="leave the files of the suite in this folder")
    parser.add_argument("--why", action="store_true", help="print what the suite says of each fault")
    options = parser.parse_args(argv)
    chosen = [one for one in (*DIRECT, *THROUGH) if all(text in str(one) for text in options.only)]
    return 0 if asyncio.run(run(chosen, options.keep, options.why)) else 1


if __name__ == "__main__":
    sys.exit(main())
