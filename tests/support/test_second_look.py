"""A test that fails by chance is named and does not fail the run; what is broken does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.outcome import Outcome, plain
from tests.support.second_look import MOST, verdict, worth_a_look
from tests.support.upstreams.launch import ROOT

FLAKY = """
import pathlib, pytest

@pytest.mark.xdist_group("a group")
@pytest.mark.parametrize("name", ["x@y", "one-of-each"])
def test_flaky(name):
    ledger = pathlib.Path(__file__).with_name(name + ".ran")
    first = not ledger.exists()
    ledger.touch()
    assert not first, "the machine is busy"

def test_good():
    with pathlib.Path(__file__).with_name("good.ran").open("a") as ledger:
        ledger.write("once")
"""
BROKEN = "def test_broken():\n    assert False, 'it is really broken'\n"


def looked(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers -p no:cacheprovider\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}
    words = [sys.executable, "-m", "tests.support.second_look", *arguments]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=90)


def test_what_passes_alone_is_named_and_nothing_else_runs_again(tmp_path: Path) -> None:
    (tmp_path / "test_flaky.py").write_text(FLAKY)
    told = looked(tmp_path, "-n", "1", "--dist", "loadgroup")
    assert told.returncode == 0, told.stdout + told.stderr
    for name in ("x@y", "one-of-each"):
        assert f"failed on a busy machine, passed alone: test_flaky.py::test_flaky[{name}]\n" in told.stdout
    assert (tmp_path / "good.ran").read_text() == "once"


def test_what_is_broken_fails_whatever_passes_beside_it(tmp_path: Path) -> None:
    (tmp_path / "test_flaky.py").write_text(FLAKY)
    (tmp_path / "test_broken.py").write_text(BROKEN)
    told = looked(tmp_path, "-q")
    assert told.returncode == 1
    assert told.stdout.count("it is really broken") >= 2, "it is shown both times"
    assert "failed, and failed again alone: test_broken.py::test_broken\n" in told.stdout
    assert told.stdout.count("passed alone: ") == 2


def test_too_many_failures_are_no_chance(tmp_path: Path) -> None:
    (tmp_path / "test_flaky.py").write_text(FLAKY)
    broken = f"import pytest\n\n@pytest.mark.parametrize('n', range({MOST}))\n" + BROKEN.replace("()", "(n)")
    (tmp_path / "test_broken.py").write_text(broken)
    told = looked(tmp_path, "-q")
    assert told.returncode == 1
    assert "alone" not in told.stdout


@pytest.mark.parametrize("arguments", [("-x",), ("--maxfail=1",)], ids=" ".join)
def test_a_run_that_ended_at_its_first_failure_is_not_good_because_that_one_passes_alone(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "test_flaky.py").write_text(FLAKY)
    told = looked(tmp_path, *arguments)
    assert told.returncode not in (0, 5)
    assert "alone" not in told.stdout


def test_a_file_that_cannot_be_collected_fails_at_once(tmp_path: Path) -> None:
    (tmp_path / "test_flaky.py").write_text(FLAKY)
    (tmp_path / "test_unreadable.py").write_text("import nothing_of_that_name\n")
    for arguments in ((), ("--continue-on-collection-errors",)):
        told = looked(tmp_path, *arguments)
        assert told.returncode not in (0, 5)
        assert "alone" not in told.stdout
        for ledger in tmp_path.glob("*.ran"):
            ledger.unlink()


def test_a_test_that_does_not_run_the_second_time_has_not_passed() -> None:
    first = Outcome(failed=("a", "b", "c"))
    assert verdict(first, Outcome(failed=("b",), passed=("a",))) == (["a"], ["b", "c"])


@pytest.mark.parametrize("code", [0, 2, 3, 4, 5, -9])
def test_only_failures_are_looked_at_again(code: int) -> None:
    assert worth_a_look(1, Outcome(failed=("a",)))
    assert not worth_a_look(code, Outcome(failed=("a",)))
    assert not worth_a_look(1, Outcome()), "something else went wrong than a test"


@pytest.mark.parametrize("id", ["f.py::test_a", "f.py::test_a[x@y]", "f.py::T::test_a[a-b]"])
def test_the_group_of_a_test_is_not_part_of_its_id(id: str) -> None:
    assert plain(id) == plain(f"{id}@journeys-a") == id
