"""Prints the table of `make conformance`; the exit code is 0 when everything is as `expected.yaml` says.

python -m tests.conformance [--leg server|client] [--only TEXT ...] [--keep FOLDER] [--why]
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Sequence, Set
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import groupby
from pathlib import Path

from tests.conformance import expectations
from tests.conformance.clients import run_client_suite
from tests.conformance.configurations import CLIENTS, DIRECT, THROUGH, ClientSet, Configuration
from tests.conformance.expectations import Verdict
from tests.conformance.gateway import running_gateway
from tests.conformance.suite import Report, run_server_suite
from tests.support.upstreams.launch import running

_COLUMNS = "{:<58} {:>7} {:>7} {:>8} {:>8} {:>6} {:>6} {:>7}  {}"
_SHOWN = 4
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


async def run(chosen: Iterable[Configuration], clients: Iterable[ClientSet], keep: Path | None, why: bool) -> bool:
    """Run and print the chosen configurations of both legs; whether all were as expected."""
    print(_COLUMNS.format(*_HEAD), flush=True)
    good = await _run_clients(clients, keep, why)
    return await _run_servers(chosen, keep, why) and good


async def _run_clients(clients: Iterable[ClientSet], keep: Path | None, why: bool) -> bool:
    listed, good = expectations.load("client"), True
    for one in clients:
        run_suite = partial(run_client_suite, one.revision, keep / _folder(one) if keep else None)
        good &= _print(one, *await expectations.judged(run_suite, one, listed), why)
    return good


async def _run_servers(chosen: Iterable[Configuration], keep: Path | None, why: bool) -> bool:
    listed, good = expectations.load(), True
    with tempfile.TemporaryDirectory(prefix="cb-conformance-") as temporary:
        for replicas, configurations in groupby(chosen, key=lambda one: one.replicas):
            async with targets(Path(temporary), replicas) as url:
                for one in configurations:
                    folder = keep / _folder(one) if keep else None
                    run_suite = partial(run_server_suite, url(one), one.revision, folder)
                    good &= _print(one, *await expectations.judged(run_suite, one, listed), why)
    return good


def _print(configuration: Configuration | ClientSet, report: Report, verdict: Verdict, why: bool) -> bool:
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
        (_short(verdict.expected), "expected: {}"),
        (" ".join(sorted(verdict.stale)), "STALE in expected.yaml: {}"),
    ]
    return "; ".join(words.format(names) for names, words in groups if names)


def _short(names: Set[str]) -> str:
    return " ".join(sorted(names)) if len(names) <= _SHOWN else f"{len(names)} scenarios, see expected.yaml"


def _folder(configuration: Configuration | ClientSet) -> str:
    return str(configuration).replace(",", "").replace(" ", "-")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--leg", choices=("server", "client"), help="only this leg")
    parser.add_argument("--only", action="append", default=[], help="configurations with this text in their name")
    parser.add_argument("--keep", type=Path, help="leave the files of the suite in this folder")
    parser.add_argument("--why", action="store_true", help="print what the suite says of each fault")
    options = parser.parse_args(argv)
    everything = (*(DIRECT + THROUGH if options.leg != "client" else ()), *(CLIENTS if options.leg != "server" else ()))
    wanted = [one for one in everything if all(text in str(one) for text in options.only)]
    servers = [one for one in wanted if isinstance(one, Configuration)]
    clients = [one for one in wanted if isinstance(one, ClientSet)]
    return 0 if asyncio.run(run(servers, clients, options.keep, options.why)) else 1


if __name__ == "__main__":
    sys.exit(main())
