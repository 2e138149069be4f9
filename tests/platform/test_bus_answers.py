"""What whoever asks is told when a handler fails."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from callboard.contracts import subjects
from callboard.contracts.playbooks import Done
from callboard.contracts.problems import Problem
from callboard.platform.bus import Bus, register
from callboard.platform.settings import CommonSettings
from tests.support.backends import Bus as TrustedBus
from tests.support.backends import nats_server


class Wish(msgspec.Struct):
    """Stands for any command."""


@pytest.mark.parametrize(
    ("error", "code"), [(ConnectionRefusedError(), "database.unavailable"), (KeyError("x"), "internal.unexpected")]
)
async def test_a_database_that_is_away_is_told_apart_from_a_fault(tmp_path: Path, error: Exception, code: str) -> None:
    with nats_server(tmp_path) as server:
        nats = TrustedBus(server.url, server.trust)

        def bus(room: str) -> Bus:
            settings = CommonSettings(nats_url=nats.url, nats_credentials=nats.credentials(room, tmp_path))
            return Bus(room, f"{room}-1", settings)

        async def handle(wish: Wish) -> Done:
            raise error

        router, edge = bus("router"), bus("edge")
        await router.connect()
        await edge.connect()
        register(router, subjects.APPLY, handle)
        await router.serve()
        try:
            with pytest.raises(Problem) as refused:
                await edge.ask(subjects.APPLY, Wish(), Done, 5.0)
            assert refused.value.code == code
        finally:
            await edge.close()
            await router.close()
