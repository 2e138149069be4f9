"""Every threat has a test, every test a proof that it fails without the control, and all of them exist."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from tests.threats.table import THREATS, Threat

TESTS = Path(__file__).parents[1]


@cache
def functions_of(file: str) -> frozenset[str]:
    path = TESTS / file
    tree = ast.parse(path.read_text() if path.exists() else "")
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def gaps(threats: Mapping[str, Threat]) -> list[str]:
    found = [f"{name}: no row" for name in (f"T{number}" for number in range(1, 26)) if name not in threats]
    for name, threat in threats.items():
        found += [f"{name}: no test"] if not threat.proved else []
        found += [f"{name}: nothing without its control"] if not threat.without else []
        for test in (*threat.proved, *threat.without):
            file, _, function = test.partition("::")
            found += [] if function in functions_of(file) else [f"{name}: {test} is not there"]
    return found


def test_every_threat_has_its_test_and_a_proof_of_it() -> None:
    assert gaps(THREATS) == []


def test_a_row_that_lacks_something_is_found() -> None:
    whole = THREATS["T3"]
    for broken, words in (
        (whole._replace(without=()), "nothing without its control"),
        (whole._replace(proved=()), "no test"),
        (whole._replace(proved=("platform/test_egress.py::test_that_is_not_there",)), "is not there"),
        (whole._replace(without=("nowhere.py::test_x",)), "is not there"),
    ):
        assert [words in gap for gap in gaps({**THREATS, "T3": broken})].count(True) == 1
    assert "T3: no row" in gaps({name: row for name, row in THREATS.items() if name != "T3"})
