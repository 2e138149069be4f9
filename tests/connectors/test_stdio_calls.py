"""Calls to servers that are children of a worker."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from tests.connectors.rig import Rig
from tests.support.waiting import PATIENCE, eventually, promised

CLIENTS = pytest.mark.parametrize("client", ["2025-11-25", "2026-07-28"])


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def stdio(rig: Rig, server: str, module: str, *args: str) -> None:
    await rig.register_stdio(server, module, *args)


async def call(rig: Rig, server: str, tool: str, arguments: object = None, **more: object) -> str:
    return (await rig.call(server, tool, arguments, **more)).text


@CLIENTS
@pytest.mark.parametrize("era", ["2025", "2026"])
async def test_a_child_answers_many_calls_at_once(rig: Rig, client: str, era: str) -> None:
    await stdio(rig, "echo", "echo", "--stdio", "--era", era)
    await rig.room()
    await rig.online("echo")
    sent = [await rig.send("echo", "echo", {"text": f"n{n}"}, era=client) for n in range(100)]
    for number, answer in enumerate(sent):
        await asyncio.wait_for(answer.done.wait(), PATIENCE)
        assert answer.text == f"n{number}"
    answer = await rig.call("echo", "progress", {"steps": 3}, era=client, meta={"progressToken": [1]})
    assert [one["params"]["progressToken"] for one in answer.notifications] == [[1]] * 3


async def test_line_breaks_in_the_json_of_a_caller_do_not_end_the_message(rig: Rig) -> None:
    await stdio(rig, "echo", "echo", "--stdio")
    await rig.room()
    await rig.online("echo")
    raw = b'{\n "name": "x",\r\n "arguments": {\n  "text": "a\\nb"\n }\n}'
    assert (await rig.call("echo", "", raw=raw, upstream_name="echo")).text == "a\nb"


@pytest.mark.parametrize("era", ["2025", "2026"])
async def test_a_cancelled_or_expired_call_is_cancelled_in_the_child(rig: Rig, era: str, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    await stdio(rig, "echo", "echo", "--stdio", "--era", era, "--ledger", str(ledger))
    await rig.room()
    await rig.online("echo")
    cancelled = await rig.send("echo", "slow", {"seconds": 60, "text": "one"})
    expired = await rig.send("echo", "slow", {"seconds": 60, "text": "two"}, within=0.3)
    await eventually(lambda: ledger.read_text().count("\n") >= 2)
    await rig.cancel(call_id=cancelled.call_id)
    await promised(cancelled.done.is_set, within=5)
    await promised(expired.done.is_set, within=5)
    assert cancelled.error["data"]["code"] == "call.cancelled"
    assert expired.error["data"]["code"] == "call.deadline_exceeded"
    await eventually(lambda: {"cancelled:one", "cancelled:two"} <= set(ledger.read_text().split()))


async def test_a_crash_in_a_call_is_an_unknown_outcome_at_once_and_the_child_comes_back(rig: Rig) -> None:
    await stdio(rig, "crash", "crash")
    await rig.room()
    await rig.online("crash")
    first = int(await call(rig, "crash", "pid"))
    begin = asyncio.get_running_loop().time()
    answer = await rig.call("crash", "crash", within=10)
    assert asyncio.get_running_loop().time() - begin < 1
    assert answer.error["data"]["code"] == "call.outcome_unknown"
    assert "status 1" in answer.error["message"]
    assert (await rig.record_of(answer)).outcome == "unknown"
    second = int(await call(rig, "crash", "pid"))
    assert second != first
    status = await rig.status_of("crash")
    assert (status.state, status.restarts) == ("ONLINE", 1)


async def test_a_crash_loop_makes_the_server_offline_with_the_reason(rig: Rig) -> None:
    await rig.register("loop", command=(sys.executable, "-c", "raise SystemExit(3)"))
    await rig.room()
    status = await eventually(lambda: _offline(rig, "loop"))
    assert "status 3" in status.problem
    answer = await rig.call("loop", "x", within=5)
    assert answer.error["data"]["code"] == "server.unavailable"
    assert "'loop'" in answer.error["message"]


async def _offline(rig: Rig, server: str):  # type: ignore[no-untyped-def]  # ServerStatus or None
    found = await rig.owner(server)
    return found[1] if found is not None and found[1].state == "OFFLINE" else None


async def test_a_command_that_is_not_installed_is_named(rig: Rig) -> None:
    await rig.room()
    probed = await rig.probe(command=("no-such-mcp-server",))
    assert "'no-such-mcp-server' is not installed" in probed.problem


async def test_a_command_beside_this_python_is_found(rig: Rig) -> None:
    await rig.register("time", command=("mcp-server-time",))
    await rig.room()
    await rig.online("time", within=20)
    answer = await rig.call("time", "get_current_time", {"timezone": "Europe/Paris"})
    assert json.loads(answer.text)["timezone"] == "Europe/Paris"


async def test_a_child_sees_a_clean_environment(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_ADMIN_PASSWORD", "never")
    rig.secrets["key"] = "s3cr3t"
    module = Path(__file__).parents[1] / "support" / "upstreams" / "crash.py"
    root = str(module.parents[3])
    await rig.register(
        "crash",
        command=(sys.executable, "-m", "tests.support.upstreams.crash"),
        cwd=root,
        env={"OWN": "1", "KEY": {"secret": "key"}},
    )
    await rig.room()
    await rig.online("crash")
    names = set(json.loads(await call(rig, "crash", "env")))
    assert {"OWN", "KEY", "PATH"} <= names
    assert names <= {"OWN", "KEY", "PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR"}


async def test_noise_on_stdout_is_not_an_answer(rig: Rig) -> None:
    await stdio(rig, "crash", "crash")
    await rig.room()
    await rig.online("crash")
    assert await call(rig, "crash", "noise") == "quiet again"
    assert await call(rig, "crash", "echo", {"text": "still here"}) == "still here"


async def test_a_handshake_server_that_dies_of_an_early_request_is_started_again(rig: Rig, tmp_path: Path) -> None:
    server = tmp_path / "strict.py"
    server.write_text(
        textwrap.dedent(
            """
            import json, sys
            for line in sys.stdin:
                message = json.loads(line)
                if message["method"] == "initialize":
                    result = {"protocolVersion": "2025-03-26", "capabilities": {"tools": {}}, "serverInfo": {}}
                elif message["method"] == "tools/list":
                    result = {"tools": []}
                elif "id" not in message:
                    continue
                else:
                    sys.exit(5)
                print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
            """
        )
    )
    await rig.register("strict", command=(sys.executable, str(server)))
    await rig.room()
    status = await rig.online("strict")
    assert (status.era, status.restarts) == ("2025-03-26", 0)


async def test_a_reconfigured_server_runs_with_its_new_definition_and_a_retired_one_is_gone(rig: Rig) -> None:
    await stdio(rig, "crash", "crash")
    await rig.room()
    await rig.online("crash")
    first = int(await call(rig, "crash", "pid"))
    await rig.reconfigure("crash", command=tuple(_command("crash")), env={"FRESH": "1"})

    async def is_fresh() -> bool:
        answer = await rig.call("crash", "env", within=3)
        return "FRESH" in answer.body.decode()

    await eventually(is_fresh)
    assert is_gone(first)
    second = int(await call(rig, "crash", "pid"))
    await rig.retire("crash")
    await eventually(lambda: is_gone(second))
    await eventually(lambda: _unknown(rig))


async def _unknown(rig: Rig) -> bool:
    return await rig.owner("crash") is None


def _command(module: str) -> list[str]:
    from tests.support.upstreams.launch import command

    return command(module)


async def test_stopping_a_worker_leaves_no_process(rig: Rig) -> None:
    await stdio(rig, "crash", "crash")
    worker = await rig.worker("w1")
    await rig.online("crash")
    child = int(await call(rig, "crash", "pid"))
    grandchild = int(await call(rig, "crash", "spawn"))
    everyone = [child, grandchild, *(one.pid for one in psutil.Process(worker.process.pid).children(recursive=True))]
    assert await worker.stop() == 0
    await promised(lambda: all(is_gone(pid) for pid in everyone), within=2)


async def test_a_crashed_child_leaves_nothing_behind(rig: Rig) -> None:
    await stdio(rig, "crash", "crash")
    await rig.room()
    await rig.online("crash")
    grandchild = int(await call(rig, "crash", "spawn"))
    await rig.call("crash", "crash")
    await promised(lambda: is_gone(grandchild), within=2)


async def test_a_killed_worker_leaves_nothing_behind(rig: Rig) -> None:
    await stdio(rig, "crash", "crash")
    worker = await rig.worker("w1")
    await rig.online("crash")
    child = int(await call(rig, "crash", "pid"))
    grandchild = int(await call(rig, "crash", "spawn"))
    os.kill(worker.process.pid, signal.SIGKILL)
    await promised(lambda: is_gone(child) and is_gone(grandchild), within=2)


async def test_servers_with_a_command_can_be_switched_off(rig: Rig) -> None:
    await stdio(rig, "crash", "crash")
    await rig.room(allow_stdio=False)
    lines = [line for status in await rig.statuses() for line in status.servers]
    assert [(line.state, line.owner) for line in lines] == [("OFFLINE", False)]
    assert "switched off" in lines[0].problem
    assert "switched off" in (await rig.probe(command=("mcp-server-time",))).problem


async def test_only_listed_commands_run_and_with_no_environment_that_changes_them(rig: Rig) -> None:
    await stdio(rig, "crash", "crash")
    await rig.room(stdio_commands="mcp-server-time --local-timezone *")

    async def refused() -> bool:
        lines = [line for status in await rig.statuses() for line in status.servers]
        return [(line.state, "not among those" in line.problem) for line in lines] == [("OFFLINE", True)]

    await eventually(refused)
    assert "not among those" in (await rig.probe(command=("sh", "-c", "mcp-server-time"))).problem
    listed = ("mcp-server-time", "--local-timezone", "UTC")
    assert "LD_PRELOAD" in (await rig.probe(command=listed, env={"LD_PRELOAD": "/tmp/x.so"})).problem
    assert "add `env:X`" in (await rig.probe(command=listed, env={"X": "y"})).problem
    assert "add `cwd:/tmp`" in (await rig.probe(command=listed, cwd="/tmp")).problem
    assert (await rig.probe(command=listed)).problem == ""
