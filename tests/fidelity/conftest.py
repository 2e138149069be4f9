"""One Callboard for all fidelity tests of a worker, and one seed, which is printed."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.fidelity.rig import Rig, running_rig

SEED = int(os.environ.get("CALLBOARD_FIDELITY_SEED", "20260728"))


def pytest_report_header() -> str:
    return f"fidelity: seed {SEED} (CALLBOARD_FIDELITY_SEED)"


@pytest.fixture(scope="session")
def number() -> int:
    """The seed of this run."""
    print(f"seed {SEED}")
    return SEED


@pytest.fixture(scope="session")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running_rig(tmp_path_factory.mktemp("fidelity")) as running:
        yield running
