"""Logs that older commits wrote, and what those commits answered then: today's code reads the one and says the other.

`logs/COMMIT.jsonl` is an export of an installation that ran that commit, `COMMIT.told.json` what its API told of it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest
import pytest_asyncio

from callboard.contracts import events
from callboard.contracts.calls import MODERN, RpcHead
from callboard.contracts.playbooks import RollBackPlaybook
from callboard.kernel.log_export import check, link_of
from callboard_projections.history.registry import PROJECTIONS, establish
from callboard_router.catalogue.lists import definition_bytes
from tests.model.gateway import Gateway
from tests.support.stack import ROOT
from tests.support.waiting import PATIENCE

LOGS = Path(__file__).parent / "logs"
COMMITS = sorted(path.stem for path in LOGS.glob("*.jsonl"))
TYPES_THEN = 23
"""So many types of events there were when the newest of these logs was written, and it takes all logs to have them."""


class Old:
    """One of the logs, in a database of today, and what was told of it."""

    def __init__(self, commit: str, pool: asyncpg.Pool) -> None:
        self.lines = (LOGS / f"{commit}.jsonl").read_bytes().splitlines(keepends=True)
        self.told: dict[str, Any] = json.loads((LOGS / f"{commit}.told.json").read_text())
        self.gateway = Gateway(pool, "acme")

    async def load(self) -> None:
        """Put the rows where the old installation had them."""
        chain = check(self.lines).chain
        rows = [link_of(line, number, chain) for number, line in enumerate(self.lines[1:-1], 2)]
        pool, columns = self.gateway.pool, ("organisation", *rows[0].__struct_fields__)
        values = [("acme", *(getattr(row, name) for name in columns[1:])) for row in rows]
        await pool.copy_records_to_table("event", schema_name="cb", columns=columns, records=values)
        await pool.execute("insert into cb.log_head values ('acme', $1, $2)", chain.seq, chain.hash)
        streams = [("acme", *each) for each in chain.versions.items()]
        await pool.copy_records_to_table("stream", schema_name="cb", records=streams)


@pytest_asyncio.fixture(params=COMMITS)
async def old(request: pytest.FixtureRequest, dsn: str) -> AsyncIterator[Old]:
    async with asyncpg.create_pool(dsn, min_size=1, max_size=4) as pool:
        await establish(pool, PROJECTIONS)
        old = Old(request.param, pool)
        await old.load()
        yield old


def told_then(now: object, then: dict[str, Any]) -> dict[str, Any]:
    """What is told now, as far as it was told then: fields may have been added."""
    told: dict[str, Any] = json.loads(msgspec.json.encode(now))
    return {name: value for name, value in told.items() if name in then}


async def test_the_read_models_say_of_an_old_log_what_was_said_then(old: Old) -> None:
    reads = old.gateway.reads
    playbooks = (await reads.playbooks("acme")).playbooks
    servers = (await reads.servers("acme")).servers
    for now, then in ((playbooks, old.told["playbooks"]), (servers, old.told["servers"])):
        assert [told_then(line, line_then) for line, line_then in zip(now, then, strict=True)] == then
    for name, versions in old.told["history"].items():
        history = (await reads.history("acme", name)).versions
        assert [told_then(line, then) for line, then in zip(history, versions, strict=True)] == versions


async def test_the_router_shows_of_an_old_log_what_agents_saw_then(old: Old) -> None:
    router = old.gateway.routers[0]
    await router.current()
    for name, tools in old.told["tools"].items():
        found = router.served.find("acme", name, RpcHead("", "tools/list", MODERN, "nobody", "", 0, 0))
        shown = [json.loads(definition_bytes(entry)) for entry in found.exposure.tools.values()]
        assert shown == [{key: value for key, value in tool.items() if value is not None} for tool in tools]


async def test_an_old_log_is_intact_and_goes_on(old: Old) -> None:
    assert await old.gateway.is_intact()
    height = await old.gateway.height()
    command = RollBackPlaybook(
        command_id=str(uuid.uuid4()), organisation="acme", playbook="start", to=2, comment="back", actor="ann"
    )
    answer = await old.gateway.routers[0].handle(command)
    assert answer.seq > height
    assert await old.gateway.is_intact()


@pytest.mark.parametrize("commit", COMMITS)
def test_the_stand_alone_script_finds_an_old_export_intact(commit: str) -> None:
    script = [sys.executable, "-I", "-S", str(ROOT / "bin" / "verify-export"), str(LOGS / f"{commit}.jsonl")]
    done = subprocess.run(script, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, "intact" in done.stdout) == (0, True), done.stdout


def test_the_old_logs_hold_every_type_of_event_that_there_was_then() -> None:
    rows = [json.loads(line) for commit in COMMITS for line in (LOGS / f"{commit}.jsonl").read_text().splitlines()]
    found = {row["type"] for row in rows if "type" in row}
    assert len(found) == TYPES_THEN
    assert found <= {struct.__struct_config__.tag for struct in events.Event.__args__}
