"""Clients that share one handshake upstream each hear log messages from their own level on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.connectors.rig import Rig
from tests.support.telling import telling, tool

SCRIPT = {"tools/list": {"tools": [tool("say")]}}
LEGACY, MODERN = "2025-11-25", "2026-07-28"


async def hears(rig: Rig, level: str, era: str, wanted: str) -> bool:
    answer = await rig.call("told", "say", {"level": level}, era=era, log_level=wanted)
    assert answer.text == "said"
    return [one["params"]["level"] for one in answer.notifications] == [level]


@pytest.mark.parametrize("transport", ["http", "stdio"])
async def test_each_client_hears_from_its_own_level_on(rig: Rig, transport: str, tmp_path: Path) -> None:
    async with telling(tmp_path, SCRIPT, transport, "2025") as told:
        await rig.register("told", **told.server)
        await rig.room()
        await rig.online("told")
        assert await hears(rig, "debug", LEGACY, "")  # nobody said anything: what the server likes
        assert await hears(rig, "error", LEGACY, "error")
        assert await hears(rig, "info", MODERN, "info")
        assert not await hears(rig, "info", LEGACY, "error")
        assert await hears(rig, "debug", MODERN, "debug")
        assert not await hears(rig, "notice", MODERN, "error")
        assert not await hears(rig, "emergency", MODERN, "")
        assert await hears(rig, "info", LEGACY, "")
        assert not await hears(rig, "debug", LEGACY, "")  # what another client asked for
        levels = [line["params"]["level"] for line in told.seen("logging/setLevel")]
        assert levels == ["error", "info", "debug"]


async def test_a_server_that_does_not_log_is_not_told_a_level(rig: Rig, tmp_path: Path) -> None:
    async with telling(tmp_path, {**SCRIPT, "capabilities": {"tools": {}}}, era="2025") as told:
        await rig.register("told", **told.server)
        await rig.room()
        await rig.online("told")
        assert await hears(rig, "error", MODERN, "error")
        assert not await hears(rig, "info", MODERN, "error")
        assert told.seen("logging/setLevel") == []
