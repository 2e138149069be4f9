"""Kill -9 of each process while calls run and while versions are published. Nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.callers import Callers, faults_of, ledger_lines
from tests.support.names import fresh
from tests.support.stack import Stack, running_stack
from tests.support.upstreams.launch import command, running
from tests.support.waiting import PATIENCE, eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("kills"), pytest.mark.timeout(240)]

PROCESSES = ("authsvc", "projections", "connectors", "router", "edge", "nats", "postgres")
DEADLINE = 60.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with running_stack(tmp_path_factory.mktemp("kills") / "data") as running_one:
        yield running_one


def file(organisation: str, server: str) -> str:
    return f"""
        version: 1
        organisation: {organisation}
        servers:
          echo: {server}
        playbooks:
          start:
            title: "TITLE"
            servers: {{echo: {{names: bare}}}}
        """


@pytest.mark.parametrize("transport", ["http", "stdio"])
@pytest.mark.parametrize("name", PROCESSES)
async def test_calls_end_and_none_is_executed_twice_when_a_process_is_killed(
    stack: Stack, name: str, transport: str, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    async with running("echo", "--ledger", ledger) as upstream:
        server = f'{{url: "{upstream.url}"}}'
        if transport == "stdio":
            server = f"{{command: {command('echo', '--stdio', '--ledger', str(ledger))}}}"
        organisation = fresh("org")
        await stack.apply(file(organisation, server))
        token = await stack.token(organisation)
        async with Callers([stack.endpoint(organisation, "start")], token, "mark") as callers:
            told = callers.told
            await eventually(lambda: len(told.ok) > 50 or told.complain())
            killed = stack.kill(name)
            at = time.monotonic()
            await eventually(lambda: stack.pids().get(name, killed) != killed)
            await stack.ready(30)
            await eventually(lambda: told.last_ok > at + 0.5)
            before = len(told.ok)
            await eventually(lambda: len(told.ok) > before + 50)
    assert faults_of(told.ok, ledger_lines(ledger)) == []
    assert told.slowest < DEADLINE
    if name != "edge":
        assert not told.broken, list(told.broken.values())[:3]
    for error in told.errors.values():
        assert error["message"]
        assert error["data"]["code"] in ("call.outcome_unknown", "server.unavailable", "bus.unavailable"), error


@pytest.mark.parametrize("transport", ["http", "stdio"])
async def test_a_call_that_may_take_an_hour_is_not_waited_for_when_its_worker_is_gone(
    stack: Stack, transport: str, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    async with running("echo", "--ledger", ledger) as upstream:
        server = f'{{url: "{upstream.url}"}}'
        if transport == "stdio":
            server = f"{{command: {command('echo', '--stdio', '--ledger', str(ledger))}}}"
        organisation = fresh("org")
        await stack.apply(file(organisation, server))
        token = await stack.token(organisation)
        params = {"name": "slow", "arguments": {"seconds": 3600, "text": "long"}}
        url = stack.endpoint(organisation, "start")
        call = asyncio.ensure_future(stack.rpc(url, "tools/call", params, token, timeout=60))
        await eventually(lambda: "long" in ledger_lines(ledger))
        killed = stack.kill("connectors")
        answer = await asyncio.wait_for(call, PATIENCE)
        assert answer.json()["error"]["data"]["code"] == "call.outcome_unknown"
        await eventually(lambda: stack.pids().get("connectors", killed) != killed)
        await stack.ready(30)
        assert ledger_lines(ledger).count("long") == 1


@pytest.mark.parametrize("name", ["router", "nats", "postgres", "projections"])
async def test_no_acknowledged_version_is_lost_when_a_process_is_killed(stack: Stack, name: str) -> None:
    organisation = fresh("org")
    async with running("echo") as upstream:
        text = file(organisation, f'{{url: "{upstream.url}"}}')
        await stack.apply(text.replace("TITLE", "0"))
        acknowledged: dict[int, str] = {1: "0"}
        stop = asyncio.Event()

        async def publish() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                path = stack.directory / f"{organisation}.yaml"
                path.write_text(text.replace("TITLE", str(number)))
                code, out, _ = await stack.cli("apply", "-f", str(path), "-m", str(number), "--json", ok=False)
                if code == 0:
                    (version,) = [line["version"] for line in _json(out)["plan"] if line["action"] == "publish"]
                    acknowledged[version] = str(number)

        publishing = asyncio.create_task(publish())
        await eventually(lambda: len(acknowledged) > 2)
        killed = stack.kill(name)
        await eventually(lambda: stack.pids().get(name, killed) != killed)
        before = len(acknowledged)
        await eventually(lambda: len(acknowledged) > before + 1, within=45)
        stop.set()
        await publishing
        await stack.ready(30)
        for version, title in acknowledged.items():
            shown = await stack.cli_json("playbook", "show", f"{organisation}/start@{version}")
            assert shown["content"]["definition"]["title"] == title
        verdict = await stack.cli_json("audit", "verify", "--org", organisation)
        assert verdict["intact"] is True


def _json(text: str) -> dict[str, list[dict[str, int]]]:
    import json

    return json.loads(text)  # type: ignore[no-any-return]
