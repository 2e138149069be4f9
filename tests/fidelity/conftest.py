"""One Callboard for all fidelity tests of a worker, and one seed: `CALLBOARD_FIDELITY_SEED`, or always the same."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.fidelity.rig import Rig, running_rig

SEED = int(os.environ.get("CALLBOARD_FIDELITY_SEED", "20260728"))


@pytest.fixture(scope="session")
def number() -> int:
    """The seed of this run; what fails says it."""
    return SEED


@pytest.fixture(scope="session")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running_rig(tmp_path_factory.mktemp("fidelity")) as running:
        yield running
