"""Prints the table of `make conformance`; the exit code is 0 when everything is as `expected.yaml` says.

python -m tests.conformance [--leg server|client|authorization] [--only TEXT ...] [--keep FOLDER] [--why]
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
from tests.conformance.authorization import run_authorization_suite, running_issuer
from tests.conformance.clients import run_client_suite
from tests.conformance.configurations import (
    AUTHORIZATION,
    CLIENTS,
    DIRECT,
    THROUGH,
    Arrangement,
    AuthorizationSet,
    ClientSet,
    Configuration,
)
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


async def run(chosen: Sequence[Arrangement], keep: Path | None, why: bool) -> bool:
    """Run and print the chosen rows of all legs; whether all were as expected."""
    print(_COLUMNS.format(*_HEAD), flush=True)
    good = await _run_clients([one for one in chosen if isinstance(one, ClientSet)], keep, why)
    good &= await _run_authorization([one for one in chosen if isinstance(one, AuthorizationSet)], keep, why)
    return await _run_servers([one for one in chosen if isinstance(one, Configuration)], keep, why) and good


async def _run_authorization(chosen: Sequence[AuthorizationSet], keep: Path | None, why: bool) -> bool:
    if not chosen:
        return True
    listed, good = expectations.load("authorization"), True
    with tempfile.TemporaryDirectory(prefix="cb-conformance-") as temporary:
        async with running_issuer(Path(temporary)) as issuer:
            for one in chosen:
                run_suite = partial(run_authorization_suite, issuer, one, keep / _folder(one) if keep else None)
                good &= _print(one, *await expectations.judged(run_suite, one, listed), why)
    return good


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


def _print(configuration: Arrangement, report: Report, verdict: Verdict, why: bool) -> bool:
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


def _folder(configuration: Arrangement) -> str:
    return str(configuration).replace(",", "").replace(" ", "-")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--leg", choices=("server", "client", "authorization"), help="only this leg")
    parser.add_argument("--only", action="append", default=[], help="configurations with this text in their name")
    parser.add_argument("--keep", type=Path, help="leave the files of the suite in this folder")
    parser.add_argument("--why", action="store_true", help="print what the suite says of each fault")
    options = parser.parse_args(argv)
    everything: tuple[Arrangement, ...] = (*DIRECT, *THROUGH, *CLIENTS, *AUTHORIZATION)
    wanted = [one for one in everything if options.leg in (None, one.leg)]
    chosen = [one for one in wanted if all(text in str(one) for text in options.only)]
    return 0 if asyncio.run(run(chosen, options.keep, options.why)) else 1


if __name__ == "__main__":
    sys.exit(main())
