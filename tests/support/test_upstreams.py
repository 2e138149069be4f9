"""Each test upstream does what its module says, asked directly."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as types
import psutil
import pytest
from mcp import Client, MCPError
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from tests.support.upstreams.launch import ROOT, Upstream, command, running

MODES = pytest.mark.parametrize("mode", ["auto", "legacy"])
VERSIONS = {"auto": "2026-07-28", "legacy": "2025-11-25"}
WAIT = 10.0


class Pipe:
    """A ledger that is a named pipe: its lines are awaited, not polled for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_NONBLOCK), "rb", buffering=0)
        self._reader = asyncio.StreamReader()

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(self._reader), self._file)

    async def line(self) -> str:
        return (await asyncio.wait_for(self._reader.readline(), WAIT)).decode().rstrip("\n")


def text_of(result: types.CallToolResult) -> str:
    (block,) = result.content
    assert isinstance(block, types.TextContent)
    return block.text


def stdio(module: str, *args: str) -> StdioServerParameters:
    program, *rest = command(module, *args)
    return StdioServerParameters(command=program, args=rest)


@contextlib.asynccontextmanager
async def faulty(mode: str, *args: str) -> AsyncIterator[tuple[Upstream, str]]:
    async with running("faulty", *args) as upstream:
        yield upstream, upstream.at(f"/mode/{mode}")


async def post(url: str, method: str, **params: Any) -> httpx2.Response:
    """A 2026 request by hand."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": {**params, "_meta": meta}}
    headers = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method, "Mcp-Name": params.get("name", "")}
    async with httpx2.AsyncClient(timeout=WAIT) as client:
        return await client.post(url, json=body, headers=headers)


@MODES
@pytest.mark.parametrize("options", [(), ("--sse",)], ids=["json", "sse"])
async def test_echo_answers_over_http_in_both_eras(mode: str, options: tuple[str, ...]) -> None:
    async with running("echo", *options) as upstream, Client(upstream.url, mode=mode) as client:
        assert client.protocol_version == VERSIONS[mode]
        assert text_of(await client.call_tool("echo", {"text": 'häé\n"\\'})) == 'häé\n"\\'
        assert len(text_of(await client.call_tool("big", {"bytes": 70000}))) == 70000
        assert (await client.call_tool("fail", {})).is_error
        with pytest.raises(MCPError) as raised:
            await client.call_tool("rpc_error", {})
        assert (raised.value.error.code, raised.value.error.data) == (-32000, {"reason": "asked"})


@MODES
async def test_echo_answers_over_stdio_in_both_eras(mode: str) -> None:
    async with Client(stdio("echo", "--stdio"), mode=mode) as client:
        assert client.protocol_version == VERSIONS[mode]
        assert text_of(await client.call_tool("echo", {"text": "hello"})) == "hello"
        assert text_of(await client.call_tool("slow", {"seconds": 0.01, "text": "late"})) == "late"


async def test_echo_says_which_tools_are_read_only() -> None:
    async with (
        running("echo", "--tools", "5", "--page-size", "4") as upstream,
        Client(upstream.url) as client,
    ):
        first = await client.list_tools()
        assert len(first.tools) == 4
        assert first.next_cursor is not None
        hints = {tool.name: tool.annotations or types.ToolAnnotations() for tool in first.tools}
        assert (hints["echo"].read_only_hint, hints["echo"].idempotent_hint) == (True, True)
        assert (hints["mark"].read_only_hint, hints["mark"].idempotent_hint) == (False, False)
        assert text_of(await client.call_tool("echo_00005", {"text": "copy"})) == "copy"


@MODES
async def test_echo_reports_progress_before_the_result(mode: str) -> None:
    seen: list[float] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        seen.append(progress)

    async with running("echo") as upstream, Client(upstream.url, mode=mode) as client:
        result = await client.call_tool("progress", {"steps": 4}, progress_callback=on_progress)
        assert text_of(result) == "4 steps"
    assert seen == [1.0, 2.0, 3.0, 4.0]


@MODES
async def test_echo_keeps_a_ledger_of_what_was_executed(mode: str, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with running("echo", "--ledger", ledger) as upstream, Client(upstream.url, mode=mode) as client:
        await client.call_tool("mark", {"text": "one"})
        await client.call_tool("slow", {"text": "two", "seconds": 0})
        await client.call_tool("echo", {"text": "not this"})
    assert ledger.read_text() == "one\ntwo\n"


@MODES
async def test_echo_notices_a_cancelled_call(mode: str, tmp_path: Path) -> None:
    pipe = Pipe(tmp_path / "ledger")
    await pipe.open()
    async with running("echo", "--ledger", pipe.path) as upstream, Client(upstream.url, mode=mode) as client:
        call = asyncio.create_task(client.call_tool("slow", {"text": "long", "seconds": 60}))
        assert await pipe.line() == "long"
        call.cancel()
        assert await pipe.line() == "cancelled:long"


async def test_echo_announces_a_new_tool_on_the_get_stream() -> None:
    changed = asyncio.Event()

    async def on_message(message: object) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            changed.set()

    async with (
        running("echo") as upstream,
        Client(upstream.url, mode="legacy", message_handler=on_message) as client,
    ):
        assert "extra" not in {tool.name for tool in (await client.list_tools()).tools}
        upstream.signal(signal.SIGUSR1)
        await asyncio.wait_for(changed.wait(), WAIT)
        assert "extra" in {tool.name for tool in (await client.list_tools()).tools}


async def test_echo_announces_a_new_tool_to_subscribers() -> None:
    async with running("echo") as upstream, Client(upstream.url) as client:
        async with client.listen(tools_list_changed=True) as subscription:
            upstream.signal(signal.SIGUSR1)
            await asyncio.wait_for(anext(subscription), WAIT)
        assert text_of(await client.call_tool("extra", {"text": "new"})) == "new"


async def test_echo_announces_a_new_tool_over_stdio() -> None:
    changed = asyncio.Event()

    async def on_message(message: object) -> None:
        changed.set()

    async with Client(stdio("echo", "--stdio"), mode="legacy", message_handler=on_message) as client:
        assert await client.list_tools()
        os.kill(_child("tests.support.upstreams.echo"), signal.SIGUSR1)
        await asyncio.wait_for(changed.wait(), WAIT)
    async with Client(stdio("echo", "--stdio")) as client, client.listen(tools_list_changed=True) as changes:
        os.kill(_child("tests.support.upstreams.echo"), signal.SIGUSR1)
        await asyncio.wait_for(anext(changes), WAIT)


async def test_an_upstream_dies_with_the_process_that_started_it() -> None:
    program = (
        "import asyncio, sys; from tests.support.upstreams.launch import running\n"
        "async def main():\n"
        "    async with running('echo') as upstream:\n"
        "        print(upstream.pid, flush=True); await asyncio.Event().wait()\n"
        "asyncio.run(main())"
    )
    pipe = asyncio.subprocess.PIPE
    starter = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=pipe, cwd=ROOT)
    assert starter.stdout is not None
    handle = os.pidfd_open(int(await asyncio.wait_for(starter.stdout.readline(), WAIT)))
    gone = asyncio.Event()
    asyncio.get_running_loop().add_reader(handle, gone.set)
    starter.kill()
    await starter.wait()
    await asyncio.wait_for(gone.wait(), WAIT)
    asyncio.get_running_loop().remove_reader(handle)
    os.close(handle)


def _child(name: str) -> int:
    """The process id of our child of that name."""
    children = psutil.Process().children()
    return next(child.pid for child in children if name in child.cmdline())


@pytest.mark.parametrize(("era", "mode"), [("2025", "legacy"), ("2026", "auto")])
async def test_echo_can_be_of_one_era_only(era: str, mode: str) -> None:
    async with running("echo", "--era", era) as upstream, Client(upstream.url) as client:
        assert client.protocol_version == VERSIONS[mode]


async def test_a_stateless_echo_names_its_version_to_a_handshake_client() -> None:
    opening = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}}
    async with running("echo", "--era", "2026") as upstream, httpx2.AsyncClient() as client:
        answer = await client.post(upstream.url, json=opening)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32022)
    assert answer.json()["error"]["data"] == {"supported": ["2026-07-28"], "requested": "2025-11-25"}


async def test_echo_refuses_headers_that_do_not_match_the_body() -> None:
    async with running("echo") as upstream:
        good = await post(upstream.url, "tools/call", name="echo", arguments={"text": "x"})
        assert good.status_code == 200
        async with httpx2.AsyncClient() as client:
            body = json.loads(good.request.content)
            headers = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "other"}
            bad = await client.post(upstream.url, json=body, headers=headers)
        assert (bad.status_code, bad.json()["error"]["code"]) == (400, -32020)


async def test_echo_wants_a_known_session() -> None:
    async with running("echo") as upstream, httpx2.AsyncClient() as client:
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        assert (await client.post(upstream.url, json=ping)).status_code == 400
        unknown = await client.post(upstream.url, json=ping, headers={"Mcp-Session-Id": "never-seen"})
        assert unknown.status_code == 404


@pytest.mark.parametrize(("mode", "version"), [("legacy", "2025-11-25"), ("modern", "2026-07-28")])
async def test_a_healthy_mode_of_one_era(mode: str, version: str) -> None:
    async with faulty(mode) as (_, url), Client(url) as client:
        assert client.protocol_version == version
        assert [tool.name for tool in (await client.list_tools()).tools] == ["ping"]
        assert text_of(await client.call_tool("ping", {})) == "pong"


async def test_garbage_is_not_json() -> None:
    async with faulty("garbage") as (_, url):
        answer = await post(url, "tools/list")
        assert answer.status_code == 200
        with pytest.raises(json.JSONDecodeError):
            answer.json()


async def test_500_and_a_fault_that_is_limited_to_calls() -> None:
    async with faulty("500/call") as (_, url):
        assert (await post(url, "tools/list")).json()["result"]["tools"][0]["name"] == "ping"
        assert (await post(url, "tools/call", name="ping")).status_code == 500


@pytest.mark.parametrize("mode", ["endless", "endless-body"])
async def test_endless_never_ends(mode: str) -> None:
    async with (
        faulty(mode) as (_, url),
        httpx2.AsyncClient(timeout=WAIT) as client,
        client.stream("POST", url, content=b"{}") as answer,
    ):
        chunks = answer.aiter_raw()
        for _ in range(3):
            assert await anext(chunks)


async def test_hang_does_not_answer() -> None:
    async with faulty("hang") as (_, url), httpx2.AsyncClient(timeout=0.2) as client:
        with pytest.raises(httpx2.ReadTimeout):
            await client.post(url, content=b"{}")


@pytest.mark.parametrize("mode", ["drop-mid-call", "drop-silent"])
async def test_a_dropped_call_was_executed_once(mode: str, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with faulty(mode, "--ledger", str(ledger)) as (_, url):
        assert (await post(url, "tools/list")).status_code == 200
        with pytest.raises(httpx2.RemoteProtocolError):
            await post(url, "tools/call", name="ping")
    assert ledger.read_text() == f"{mode}\n"


async def test_invalid_schemas_stand_beside_a_good_tool() -> None:
    async with faulty("invalid-schema") as (upstream, url):
        tools = {tool["name"]: tool for tool in (await post(url, "tools/list")).json()["result"]["tools"]}
        assert set(tools) == {"ping", "bad_type", "network_ref", "slow_regex"}
        assert tools["bad_type"]["inputSchema"] == {"type": 12}
        ref = tools["network_ref"]["inputSchema"]["properties"]["text"]["$ref"]
        async with httpx2.AsyncClient() as client:
            assert (await client.get(upstream.at("/hits"))).json() == {}
            await client.get(ref)
            assert (await client.get(upstream.at("/hits"))).json() == {"/fetched/text.json": 1}


async def test_a_session_is_lost_after_two_calls() -> None:
    async with faulty("lost-session") as (_, url), Client(url) as client:
        assert client.protocol_version == "2025-11-25"
        for _ in range(2):
            assert text_of(await client.call_tool("ping", {})) == "pong"
        with pytest.raises(MCPError, match="Session not found"):
            await client.call_tool("ping", {})


async def test_a_call_is_answered_with_another_id() -> None:
    async with faulty("wrong-id") as (_, url):
        assert (await post(url, "tools/call", name="ping")).json()["id"] == "somebody-else"


async def test_a_huge_result_is_above_twenty_megabytes() -> None:
    async with faulty("huge") as (_, url):
        assert len((await post(url, "tools/call", name="ping")).content) > 20 * 1024 * 1024
        assert len((await post(f"{url}?bytes=100", "tools/call", name="ping")).content) < 300


async def test_a_slow_list_takes_its_time() -> None:
    async with faulty("slow-list") as (_, url):
        loop = asyncio.get_running_loop()
        begin = loop.time()
        assert (await post(f"{url}?seconds=0.2", "tools/list")).json()["result"]["tools"]
        assert loop.time() - begin >= 0.2


@MODES
async def test_the_stdio_server_tells_about_itself(mode: str) -> None:
    async with Client(stdio("crash"), mode=mode) as client:
        assert client.protocol_version == VERSIONS[mode]
        os.kill(int(text_of(await client.call_tool("pid", {}))), 0)
        assert "PATH" in json.loads(text_of(await client.call_tool("env", {})))
        assert text_of(await client.call_tool("noise", {})) == "quiet again"
        grandchild = int(text_of(await client.call_tool("spawn", {})))
        os.kill(grandchild, signal.SIGKILL)


@MODES
async def test_the_stdio_server_dies_when_told(mode: str) -> None:
    async with Client(stdio("crash"), mode=mode) as client:
        with pytest.raises(MCPError, match="Connection closed"):
            await client.call_tool("crash", {})


async def test_echo_speaks_the_older_transport_with_the_official_client() -> None:
    async with running("echo", "--era", "2025") as upstream:
        async with Client(sse_client(upstream.at("/sse")), mode="legacy") as client:
            assert text_of(await client.call_tool("echo", {"text": "hello"})) == "hello"
            seen: list[float] = []

            async def on_progress(progress: float, total: float | None, message: str | None) -> None:
                seen.append(progress)

            await client.call_tool("progress", {"steps": 3}, progress_callback=on_progress)
            assert seen == [1.0, 2.0, 3.0]
        async with httpx2.AsyncClient() as plain:
            assert (await plain.post(upstream.at("/sse"), json={})).status_code == 405
            assert (await plain.post(upstream.at("/messages?session=never"), json={})).status_code == 404


async def test_echo_speaks_websocket_in_both_eras() -> None:
    async with (
        running("echo", "--websocket") as upstream,
        connect(upstream.websocket, subprotocols=[Subprotocol("mcp")]) as socket,
    ):
        assert socket.subprotocol == "mcp"
        await socket.send('{"jsonrpc":"2.0","id":1,"method":"ping"}')
        assert json.loads(await socket.recv()) == {"jsonrpc": "2.0", "id": 1, "result": {}}
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        discover = {"jsonrpc": "2.0", "id": 2, "method": "server/discover", "params": {"_meta": meta}}
        await socket.send(json.dumps(discover))
        assert "2026-07-28" in json.loads(await socket.recv())["result"]["supportedVersions"]
        slow = {"name": "slow", "arguments": {"seconds": 60, "text": "long"}}
        await socket.send(json.dumps({"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": slow}))
        cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 3}}
        await socket.send(json.dumps(cancel))
        await socket.send('{"jsonrpc":"2.0","id":4,"method":"ping"}')
        assert json.loads(await socket.recv())["id"] == 4
