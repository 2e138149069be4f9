"""Single requests against a scripted server: headers, failures, and nothing but JSON-RPC on stdout."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from callboard.bridge.sse import Event, Events, TooLarge
from callboard.bridge.stdio import TOO_LONG, Lines
from tests.bridge.desktops import plain
from tests.bridge.scripted import Seen, scripted
from tests.support.stack import META

NOWHERE = "http://127.0.0.1:1/mcp"


async def test_a_stateless_request_is_posted_with_the_headers_of_its_revision() -> None:
    async def script(one: Seen) -> None:
        one.json(200, result={})

    async with scripted(script) as http, plain(http.url, "a-token") as client:
        client.ask(1, "tools/call", {"name": "größe"})
        client.ask(2, "resources/read", {"uri": "test://x y"})
        client.ask(3, "tools/list")
        client.ask(4, "tasks/get", {"taskId": "a-task"})
        for id in (1, 2, 3, 4):
            await client.answer(id)
        assert http.of("tasks/get")[0].headers["mcp-name"] == "a-task"
        call, read, listing = (http.of(m)[0].headers for m in ("tools/call", "resources/read", "tools/list"))
        assert call["mcp-name"] == "=?base64?Z3LDtsOfZQ==?="
        assert read["mcp-name"] == "test://x y"
        assert "mcp-name" not in listing
        for headers in (call, read, listing):
            assert headers["mcp-protocol-version"] == "2026-07-28"
            assert headers["authorization"] == "Bearer a-token"
            assert "mcp-session-id" not in headers
        assert call["mcp-method"] == "tools/call"


async def test_the_bytes_of_an_answer_are_the_same_apart_from_line_breaks() -> None:
    body = b'{\r\n  "jsonrpc": "2.0",\n  "id": 1,\n "result": {"n": 12345678901234567890.10, "u": "\\u00e9\xc3\xa9"}}'

    async def script(one: Seen) -> None:
        one.raw(200, body, "Content-Type: application/json")

    async with scripted(script) as http, plain(http.url) as client:
        client.ask(1, "tools/list")
        await client.answer(1)
        assert client.raw[1].rstrip() == body.replace(b"\r", b" ").replace(b"\n", b" ").rstrip()


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (200, b"<html>hello</html>", "text/html", "not like an MCP server"),
        (200, b'{"jsonrpc":"2.0","id":1,"result":', "application/json", "not like an MCP server"),
        (200, b'{"jsonrpc":"2.0","id":1,"result":"\xff"}', "application/json", "not like an MCP server"),
        (200, b"data: junk\n\n", "text/event-stream", "did not answer in JSON-RPC"),
        (302, b"", "text/html", "HTTP 302"),
        (500, b"Internal Server Error", "text/plain", "went away within the call: HTTP 500"),
        (403, b"no", "text/plain", "refused the token (HTTP 403)"),
        (202, b"", "text/plain", "not like an MCP server"),
    ],
)
async def test_an_answer_that_is_not_mcp_becomes_one_error(status: int, body: bytes, kind: str, said: str) -> None:
    async def script(one: Seen) -> None:
        one.raw(status, body, f"Content-Type: {kind}", "Location: https://elsewhere.test/mcp")

    async with scripted(script) as http, plain(http.url, "a-token") as client:
        client.ask(1, "tools/call", {"name": "x"})
        assert said in (await client.answer(1))["error"]["message"]
        assert len(http.seen) == 1


async def test_an_error_without_an_id_gets_that_of_its_request() -> None:
    async def script(one: Seen) -> None:
        one.raw(400, b'{"jsonrpc":"2.0","id":null,"error":{"code":-32022,"message":"no"}}', "Content-Type: text/plain")

    async with scripted(script) as http, plain(http.url) as client:
        client.ask("probe", "server/discover")
        assert (await client.answer("probe"))["error"] == {"code": -32022, "message": "no"}


async def test_what_reads_is_sent_again_after_a_break_and_a_call_is_not() -> None:
    async def script(one: Seen) -> None:
        if len(http.of(one.rpc)) == 1:
            one.break_off()
        else:
            one.json(200, result={})

    async with scripted(script) as http, plain(http.url) as client:
        client.ask(1, "tools/list")
        client.ask(2, "tools/call", {"name": "x"})
        client.ask(3, "something/new")
        assert "result" in await client.answer(1)
        assert (await client.answer(2))["error"]["data"]["code"] == "call.outcome_unknown"
        assert (await client.answer(3))["error"]["data"]["code"] == "call.outcome_unknown"
        assert [len(http.of(m)) for m in ("tools/list", "tools/call", "something/new")] == [2, 1, 1]


async def test_a_call_that_was_turned_away_is_sent_when_there_is_room() -> None:
    async def script(one: Seen) -> None:
        if len(http.of(one.rpc)) < 3:
            one.raw(429 if one.rpc == "tools/call" else 503, b"busy")
        else:
            one.json(200, result={})

    async with scripted(script) as http, plain(http.url) as client:
        client.ask(1, "tools/call", {"name": "x"})
        client.ask(2, "tools/list")
        assert "result" in await client.answer(1)
        assert "result" in await client.answer(2)


async def test_a_subscription_that_the_server_ends_is_opened_again_and_the_client_told_once() -> None:
    async def script(one: Seen) -> None:
        meta = {"io.modelcontextprotocol/subscriptionId": one.message["id"]}
        honoured = {"toolsListChanged": True, "resourceSubscriptions": ["test://a"]}
        told = {"notifications": honoured, "_meta": meta}
        one.stream()
        one.event({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": told})
        if len(http.seen) == 1:
            one.event({"jsonrpc": "2.0", "id": one.message["id"], "result": {"resultType": "complete"}})
            one.writer.close()
        else:
            await asyncio.Event().wait()

    async with scripted(script) as http, plain(http.url) as client:
        client.ask("L", "subscriptions/listen", {"notifications": {"toolsListChanged": True}})
        await client.heard("notifications/resources/updated")
        methods = [one["method"].removeprefix("notifications/") for one in client.notifications]
        assert methods == ["subscriptions/acknowledged", "tools/list_changed", "resources/updated"]
        assert client.notifications[2]["params"]["uri"] == "test://a"
        assert client.answers == {}


async def test_a_subscription_that_the_server_does_not_keep_ends_for_the_client_too() -> None:
    async def script(one: Seen) -> None:
        one.stream()
        one.event({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": {}})
        one.event({"jsonrpc": "2.0", "id": one.message["id"], "result": {"resultType": "complete"}})
        one.writer.close()

    async with scripted(script) as http, plain(http.url) as client:
        client.ask("L", "subscriptions/listen", {"notifications": {"toolsListChanged": True}})
        assert (await client.answer("L"))["result"] == {"resultType": "complete"}
        assert len(http.seen) == 2


async def test_what_is_not_a_message_is_refused_and_the_rest_goes_on() -> None:
    async with plain(NOWHERE, "", "--wait", "0.2") as client:
        codes = []
        for line in (
            b"nope",
            b'{"id":1',
            b"\xff",
            b"[1]",
            b"3",
            b'{"id":null,"method":"x"}',
            b'{"id":2.5,"method":"x"}',
        ):
            client.answers.clear()
            client.send(line)
            codes.append((await client.answer(None))["error"]["code"])
        assert codes == [-32700, -32700, -32700, -32600, -32600, -32600, -32600]
        client.send(b"\n   \n")
        client.ask(1, "tools/call", {"name": "x"})
        assert (await client.answer(1))["error"]["data"]["code"] == "endpoint.unreachable"


async def test_a_line_over_the_limit_is_left_out_and_the_next_one_is_read() -> None:
    reading, writing = os.pipe()
    lines = Lines(reading, 10)
    lines.start()
    os.write(writing, b"short\n" + b"x" * 11 + b"\n" + b"0123456789\n\n" + b"y" * 3000 + b"\nlast\ncut off")
    os.close(writing)
    assert [line async for line in lines] == [b"short", TOO_LONG, b"0123456789", TOO_LONG, b"last"]
    os.close(reading)


def test_events_are_the_same_however_they_arrive_in_pieces() -> None:
    text = b"\xef\xbb\xbfid: 1\r\ndata: a\r\ndata:b\r\n\r\n: ping\n\nretry: 20\rdata: c\r\r"
    text += b"event: message\ndata: {}\n\ndata: no"
    whole = [Event(b"a\nb", "1"), Event(b"c", None, 20), Event(b"{}")]
    assert Events(100).feed(text) == whole
    for size in range(1, 9):
        parser, found = Events(100), []
        for start in range(0, len(text), size):
            found += parser.feed(text[start : start + size])
        assert found == whole, size
    with pytest.raises(TooLarge):
        Events(10).feed(b"data: 12345\ndata: 67890")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["http://user:pw@h/mcp"], b"holds a password"),
        (["ftp://h/mcp"], b"not an http, https, ws or wss URL"),
        (["http://h:99999/mcp"], b"is not a URL"),
        ([NOWHERE, "--token-file", "/nowhere"], b"cannot be read"),
    ],
)
def test_wrong_usage_is_told_on_stderr_only(words: list[str], said: bytes) -> None:
    done = _run(words, {})
    assert (done.returncode, done.stdout) == (2, b"")
    assert said in done.stderr
    assert b"pw" not in done.stderr


def test_a_token_of_another_callboard_is_not_sent() -> None:
    done = _run([NOWHERE], {"CALLBOARD_URL": "http://127.0.0.1:2", "CALLBOARD_TOKEN": "cbk_secret"})
    assert done.returncode == 2
    assert b"another place" in done.stderr
    assert b"cbk_secret" not in done.stderr


async def test_a_token_comes_from_a_file(tmp_path: Path) -> None:
    async def script(one: Seen) -> None:
        one.json(200, result={})

    (tmp_path / "token").write_text("from-a-file\n")
    async with (
        scripted(script) as http,
        plain(http.url, "", "--token-file", str(tmp_path / "token")) as client,
    ):
        client.ask(1, "tools/list")
        await client.answer(1)
        assert http.seen[-1].headers["authorization"] == "Bearer from-a-file"


def test_the_bridge_starts_without_the_heavy_libraries() -> None:
    heavy = [
        "mcp",
        "litestar",
        "faststream",
        "nats",
        "asyncpg",
        "rich",
        "structlog",
        "yaml",
        "cryptography",
        "pydantic",
    ]
    code = f"import callboard.cli.main, callboard.cli.bridge, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=30)
    assert done.stdout.strip() == b"[]"


def _run(words: list[str], environment: dict[str, str]) -> Any:
    callboard = str(Path(sys.executable).with_name("callboard"))
    return subprocess.run(
        [callboard, "bridge", *words], env=environment, cwd="/", input=b"", capture_output=True, timeout=30
    )


def test_a_request_without_the_annotated_headers_is_sent_once_more_with_them() -> None:
    async def script(one: Seen) -> None:
        if one.rpc == "tools/list":
            schema = {"type": "object", "properties": {"where": {"type": "string", "x-mcp-header": "Where"}}}
            tools = [{"name": "x", "inputSchema": schema}] if "cursor" in one.message["params"] else []
            more = {} if tools else {"nextCursor": "2"}
            one.json(200, result={"tools": tools, **more})
        elif one.headers.get("mcp-param-where") == "here":
            one.json(200, result={"ok": True})
        else:
            one.json(400, error={"code": -32020, "message": "header mismatch"})

    async def run() -> None:
        async with scripted(script) as http, plain(http.url) as client:
            client.ask(1, "tools/call", {"name": "x", "arguments": {"where": "here"}})
            assert (await client.answer(1))["result"] == {"ok": True}
            client.ask(2, "tools/call", {"name": "x", "arguments": {"where": "there"}})
            assert (await client.answer(2))["error"]["code"] == -32020
            assert json.loads(http.of("tools/list")[0].body)["params"]["_meta"] == META

    asyncio.run(run())


async def test_the_rest_of_an_answer_is_asked_for_until_the_server_is_there_again() -> None:
    async def script(one: Seen) -> None:
        if one.rpc == "initialize":
            one.json(200, "Mcp-Session-Id: s1", result={"protocolVersion": "2025-11-25", "capabilities": {}})
        elif one.rpc == "tools/call":
            one.stream()
            one.event({}, id="e0")
            one.event({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}}, id="e1")
            one.break_off()
        elif "last-event-id" not in one.headers:
            one.raw(405 if one.method == "GET" else 202, b"")
        elif len([get for get in http.seen if get.headers.get("last-event-id")]) < 3:
            one.raw(503, b"")
        else:
            one.stream()
            one.event({"jsonrpc": "2.0", "id": 1, "result": {"content": []}}, id="e2")
            one.writer.close()

    async with scripted(script) as http, plain(http.url) as client:
        await client.open()
        client.ask(1, "tools/call", {"name": "x"}, modern=False)
        assert (await client.answer(1))["result"] == {"content": []}
        asked = [one.headers["last-event-id"] for one in http.seen if "last-event-id" in one.headers]
        assert asked == ["e1", "e1", "e1"]
        assert len(http.of("tools/call")) == 1


async def test_a_session_s_stream_goes_on_from_its_last_event_and_begins_anew_where_that_is_unknown() -> None:
    async def script(one: Seen) -> None:
        if one.rpc == "initialize":
            capabilities = {"tools": {"listChanged": True}}
            one.json(200, "Mcp-Session-Id: s1", result={"protocolVersion": "2025-11-25", "capabilities": capabilities})
        elif one.method != "GET":
            one.raw(202, b"")
        elif one.headers.get("last-event-id") == "g1":
            one.raw(400, b"")
        elif len(http.gets()) == 1:
            one.stream()
            one.event({}, id="g1")
            one.break_off()
        else:
            one.stream()
            one.event({}, id="g2")
            await asyncio.Event().wait()

    async with scripted(script) as http, plain(http.url) as client:
        await client.open()
        await client.heard("notifications/tools/list_changed")
        asked = [one.headers.get("last-event-id", "") for one in http.gets()]
        assert asked == ["", "g1", ""]
