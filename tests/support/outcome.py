"""A pytest plugin: `--outcome-to FILE` writes there which tests failed and which passed; under xdist once, for all."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

_GROUP = re.compile(r"@[^@\]]*$")


class Outcome(msgspec.Struct, frozen=True):
    """What came of a run. `broken`: a file could not be collected; `stopped`: it ended before its last test."""

    failed: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    broken: bool = False
    stopped: bool = False


def plain(node_id: str) -> str:
    """The id of a test without the group that `--dist loadgroup` puts behind it."""
    return _GROUP.sub("", node_id)


class Writer:
    """Gathers the reports of one run."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._failed: dict[str, None] = {}
        self._seen: dict[str, None] = {}
        self._broken = False

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._broken |= report.failed

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = plain(report.nodeid)
        if report.failed:
            self._failed[test] = None
        elif report.when == "call" and report.passed:
            self._seen[test] = None

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        passed = tuple(test for test in self._seen if test not in self._failed)
        stopped = bool(session.shouldstop or session.shouldfail)
        self._file.write_bytes(msgspec.json.encode(Outcome(tuple(self._failed), passed, self._broken, stopped)))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--outcome-to", type=Path, help="write which tests failed to this file")


def pytest_configure(config: pytest.Config) -> None:
    file = config.getoption("--outcome-to")
    if file is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Writer(file))
