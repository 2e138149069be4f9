from __future__ import annotations

import asyncio
import os
import re
import signal
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import psutil
import pytest

from callboard.cli.refusals import WrongUsage
from callboard.cli.up import replicas_of
from callboard.contracts import subjects
from callboard.kernel.playbook_file import parse
from callboard.local.demo import demo_file
from tests.support.backends import Bus, nats_server, postgres_server, wants_containers
from tests.support.stack import ROOT, Stack, free_ports
from tests.support.waiting import PATIENCE, Stalls, promised

pytestmark = [
    pytest.mark.xdist_group("up"),
    pytest.mark.skipif(wants_containers(), reason="this is about the embedded servers"),
]
CALLBOARD = str(Path(sys.executable).with_name("callboard"))
STOP_SECONDS = 5.0


async def up(directory: Path, *words: str, **more: object) -> asyncio.subprocess.Process:
    arguments = ("up", "--data-dir", str(directory), *words)
    pipes = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}
    return await asyncio.create_subprocess_exec(CALLBOARD, *arguments, **pipes, **more)  # type: ignore[arg-type]


async def refusal(directory: Path, *words: str) -> tuple[int, str]:
    """Exit code and stderr of an `up` that cannot start."""
    process = await up(directory, *words)
    _, told = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode or 0, told.decode()


async def screen(process: asyncio.subprocess.Process) -> str:
    """What it prints when it is ready."""
    assert process.stdout is not None
    lines: list[str] = []
    async with asyncio.timeout(60):
        while line := await process.stdout.readline():
            lines.append(line.decode())
            if "Ctrl-C" in lines[-1]:
                return "".join(lines)
    assert process.stderr is not None
    raise AssertionError((await process.stderr.read()).decode())


@asynccontextmanager
async def running(directory: Path, *words: str) -> AsyncIterator[tuple[Stack, str]]:
    port = free_ports(1)
    process = await up(directory, "--port", str(port), *words)
    try:
        yield Stack(directory, port, 1, process), await screen(process)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
            await asyncio.wait_for(process.communicate(), 10)


def tree(process: asyncio.subprocess.Process) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def alive(processes: list[psutil.Process]) -> list[str]:
    def lives(process: psutil.Process) -> bool:
        try:
            return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    return [str(process) for process in processes if lives(process)]


def exposed(directory: Path) -> Iterator[Path]:
    """Files that another user could read, were they not inside a directory that nobody else can enter."""
    for path in [directory, *(directory / "keys").rglob("*"), directory / "admin.env", *(directory / "logs").iterdir()]:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            yield path


async def test_the_first_start_furnishes_the_demo_and_a_later_one_finds_it(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    async with running(directory) as (stack, printed):
        endpoint = f"{stack.url}/p/demo/start/mcp"
        found = re.search(r"cbk_\w+", printed)
        assert found is not None
        token = found[0]
        line = f'claude mcp add --transport http callboard {endpoint} --header "Authorization: Bearer {token}"'
        assert line in printed
        assert token != stack.admin_token
        tools = (await stack.rpc(endpoint, "tools/list", token=token)).json()["result"]["tools"]
        assert {"time__get_current_time", "git__git_log"} <= {tool["name"] for tool in tools}
        assert "git__git_commit" not in {tool["name"] for tool in tools}
        assert list(exposed(directory)) == []
        admin = stack.admin_token
    async with running(directory) as (stack, printed):
        assert "cbk_" not in printed
        assert "token issue NAME --org demo --playbook start" in printed
        assert stack.admin_token == admin
        assert f"CALLBOARD_URL={stack.url}\n" in (directory / "admin.env").read_text()
        history = await stack.cli_json("playbook", "history", "demo/start")
        assert [version["version"] for version in history["versions"]] == [1]
        endpoint = stack.endpoint("demo", "start")
        assert (await stack.rpc(endpoint, "tools/list", token=token)).status_code == 200


async def test_what_runs_is_in_nobodys_way_and_goes_away_on_ctrl_c(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    async with running(directory, "--no-demo") as (stack, _):
        code, told = await refusal(directory, "--port", str(stack.port + 1))
        assert (code, "another `callboard up`" in told, str(stack.process.pid) in told) == (1, True, True)
        code, told = await refusal(tmp_path / "other", "--port", str(stack.port))
        assert (code, f"127.0.0.1:{stack.port}: the port is in use" in told) == (1, True)
        await stack.cli("org", "create", "acme")
        headers = {"Authorization": f"Bearer {stack.admin_token}"}
        tail = f"{stack.url}/api/v1/organisations/acme/events/tail"
        async with httpx2.AsyncClient() as http, http.stream("GET", tail, headers=headers, timeout=30) as stream:
            assert await anext(stream.aiter_lines()) == ": following"
            processes = tree(stack.process)
            assert len(processes) >= 7
            async with Stalls() as watch:
                stack.process.send_signal(signal.SIGINT)
                assert await asyncio.wait_for(stack.process.wait(), PATIENCE) == 0
                assert watch.elapsed < STOP_SECONDS
        assert alive(processes) == []


async def test_a_second_ctrl_c_ends_it_at_once(tmp_path: Path) -> None:
    async with running(tmp_path / "data", "--no-demo") as (stack, _):
        processes = tree(stack.process)
        stack.process.send_signal(signal.SIGINT)
        assert stack.process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            while b"stopping" not in await stack.process.stderr.readline():
                pass
        async with Stalls() as watch:
            stack.process.send_signal(signal.SIGINT)
            await asyncio.wait_for(stack.process.wait(), PATIENCE)
            assert watch.elapsed < 3
        await promised(lambda: alive(processes) == [], within=3)


async def test_a_start_after_kill_9_cleans_up_and_loses_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    async with running(directory, "--no-demo") as (stack, _):
        await stack.cli("org", "create", "acme")
        processes = tree(stack.process)
        stack.process.kill()
        await stack.process.wait()
        await promised(lambda: alive(processes) == [], within=5)
    async with running(directory, "--no-demo") as (stack, _):
        names = [line["organisation"] for line in (await stack.cli_json("org", "ls"))["organisations"]]
        assert names == ["acme"]


async def test_a_file_is_applied_at_the_start_and_again_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "callboard.yaml"
    file.write_text(
        "version: 1\norganisation: acme\nplaybooks:\n  words:\n    prompts:\n      hello: {template: Hello}\n"
    )
    async with running(tmp_path / "data", "--file", str(file)) as (stack, printed):
        assert f"{stack.url}/p/acme/words/mcp" in printed
        assert re.search(r"cbk_\w+", printed)
    async with running(tmp_path / "data", "--file", str(file)) as (stack, printed):
        assert "cbk_" not in printed
        history = await stack.cli_json("playbook", "history", "acme/words")
        assert len(history["versions"]) == 1


async def test_it_runs_on_servers_that_are_managed_elsewhere(tmp_path: Path) -> None:
    servers = tmp_path / "servers"
    servers.mkdir(mode=0o700)
    with postgres_server(servers / "pg") as database, nats_server(servers) as nats:
        bus = Bus(nats.url, nats.trust)
        for room in subjects.ROOMS:
            bus.credentials(room, servers)
        words = ("--database-url", database.dsn, "--nats-url", bus.url, "--nats-credentials", str(servers), "--no-demo")
        async with running(tmp_path / "data", *words) as (stack, _):
            assert set(stack.pids()) == set(subjects.ROOMS)
            await stack.cli("org", "create", "acme")
            code, _, told = await stack.cli("consumer", "add", "reader", "--org", "acme", ok=False)
            assert code in (0, 1), told


async def test_a_bad_file_is_refused_before_anything_starts(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("version: 1\norganisation: acme\nservers:\n  x: {}\n")
    code, told = await refusal(tmp_path / "data", "--file", str(file))
    assert code == 2
    assert told.startswith(f"{file}:4: ")
    assert not (tmp_path / "data").exists()


async def test_a_directory_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, told = await refusal(tmp_path / "file")
    assert code == 1
    assert "cannot use" in told
    assert "--data-dir" in told
    assert "Traceback" not in told


@pytest.mark.parametrize("words", [["--replicas", "0"], ["--replicas", "x"], ["--port", "x"]])
async def test_options_that_make_no_sense_are_exit_code_2(words: list[str], tmp_path: Path) -> None:
    code, _ = await refusal(tmp_path / "data", *words)
    assert code == 2


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("2", (2, 2, 2, 2, 2)),
        ("2,connectors=3", (2, 2, 3, 2, 2)),
        ("edge=2, connectors=3", (2, 1, 3, 1, 1)),
    ],
)
def test_replicas_are_one_number_or_one_for_each_service(text: str, numbers: tuple[int, ...]) -> None:
    assert tuple(replicas_of(text).values()) == numbers
    assert tuple(replicas_of(text)) == subjects.ROOMS


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "not a number from 1"),
        ("-1", "not a number from 1"),
        ("2,", "not a number from 1"),
        ("²", "not a number from 1"),
        ("connectors=", "not a number from 1"),
        ("connectors=0", "not a number from 1"),
        ("1000000000000", "not a number from 1"),
        ("2,3", "write SERVICE=N"),
        ("connectors=3,2", "write SERVICE=N"),
        ("cellar=2", "'cellar' is not one of edge, router, connectors, authsvc, projections"),
        ("=2", "'' is not one of"),
        ("edge=2,edge=3", "'edge' is named twice"),
    ],
)
def test_replicas_that_mean_nothing_are_refused_with_the_reason(text: str, fault: str) -> None:
    with pytest.raises(WrongUsage, match=re.escape(fault)):
        replicas_of(text)


@pytest.mark.parametrize("words", [["--port", "70000"], ["--port", "65535", "--replicas", "edge=2"]])
async def test_a_port_that_cannot_exist_is_refused(words: list[str], tmp_path: Path) -> None:
    code, told = await refusal(tmp_path / "data", *words)
    assert code == 2
    assert "65535" in told


def test_the_example_file_is_the_demo() -> None:
    example = parse((ROOT / "examples" / "demo.yaml").read_text(), "demo.yaml")
    assert example._replace(lines={}) == parse(demo_file("."), "demo")._replace(lines={})


def test_the_makefile_names_targets_that_exist() -> None:
    text = (ROOT / "Makefile").read_text()
    for target in ("up", "test", "check", "bench", "clean"):
        assert re.search(rf"^{target}:", text, re.MULTILINE)
    for script in ("bin/install", "bin/uv-path", ".ci/run"):
        assert os.access(ROOT / script, os.X_OK)
