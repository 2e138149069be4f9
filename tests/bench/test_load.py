"""The load generator counts what really came back, and the accounting counts real CPU time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys

import pytest

from bench.accounting import Meter, label, memory_by_name, tree
from bench.load import Plan, run
from tests.support.upstreams.launch import running
from tests.support.waiting import PATIENCE

ERAS = pytest.mark.parametrize("era", ["2026", "2025"])


def short(url: str, **options: object) -> Plan:
    settings = {"url": url, "conc": 4, "secs": 0.3, "warmup": 0.05, "grace": 2.0, **options}
    return Plan(**settings)  # type: ignore[arg-type]


@ERAS
@pytest.mark.parametrize("options", [(), ("--sse",)], ids=["json", "sse"])
async def test_every_answer_is_counted(era: str, options: tuple[str, ...]) -> None:
    async with running("echo", *options) as upstream:
        report = await run(short(upstream.url, era=era))
    assert report.errors == 0, report.samples
    assert report.calls > 100
    assert 0 < report.p50_ms <= report.p95_ms <= report.p99_ms <= report.max_ms
    assert report.cpu_us_per_call > 0


async def test_a_number_of_calls_can_be_asked_for() -> None:
    async with running("echo") as upstream:
        report = await run(short(upstream.url, warmup=0.0, secs=5.0, calls=25))
    assert (report.calls, report.errors) == (25, 0)
    assert report.secs < 5.0


@ERAS
async def test_calls_can_be_due_at_a_rate(era: str) -> None:
    async with running("echo") as upstream:
        report = await run(short(upstream.url, era=era, conc=8, rate=200.0, secs=1.0))
    assert report.errors == 0, report.samples
    assert 150 < report.calls_per_s < 250


async def test_the_first_calls_are_due_one_by_one_and_not_all_at_once() -> None:
    arrived: list[float] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            arrived.append(asyncio.get_running_loop().time())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
        await run(short(url, conc=10, rate=10.0, calls=10, warmup=0.0, secs=2.0))
    assert arrived[9] - arrived[0] > 0.5


async def test_what_waits_behind_a_slow_answer_counts_from_when_it_was_due() -> None:
    """One connection, a call due every 20 ms, each of which takes 50: a closed loop would say 50 for all of them."""
    async with running("echo") as upstream:
        slow = {"tool": "slow", "arguments": '{"seconds":0.05}', "conc": 1, "warmup": 0.0, "secs": 1.0}
        due = await run(short(upstream.url, rate=50.0, **slow))
        closed = await run(short(upstream.url, **slow))
    assert (due.errors, closed.errors) == (0, 0)
    assert closed.p50_ms < 100
    assert due.p50_ms > 200


@ERAS
@pytest.mark.parametrize(
    "shape",
    [
        {"tool": "big", "arguments": '{"bytes":70000}', "expect": "size:70000"},
        {"tool": "progress", "arguments": '{"steps":7}', "expect": "events:7"},
        {"method": "tools/list", "expect": "tools:7"},
        {"tool": "slow", "arguments": '{"seconds":0.01}'},
        {"per_session": 1},
    ],
    ids=["size", "events", "tools", "arguments", "sessions"],
)
async def test_other_answers_are_checked_as_well(era: str, shape: dict[str, object]) -> None:
    async with running("echo") as upstream:
        right = await run(short(upstream.url, era=era, **shape))
        wrong = await run(short(upstream.url, era=era, **shape | {"expect": "size:9"}))
    assert (right.errors, right.samples) == (0, [])
    assert right.calls > 10
    assert wrong.calls == 0
    assert wrong.errors > 0


async def test_calls_that_wait_in_a_queue_longer_than_the_window_are_counted() -> None:
    async with running("echo") as upstream:
        slow = {"tool": "slow", "arguments": '{"seconds":0.4}', "secs": 0.3, "warmup": 0.2}
        report = await run(short(upstream.url, **slow))
    assert (report.calls, report.errors) == (4, 0)
    assert report.p50_ms >= 400


async def test_a_session_is_ended_when_its_calls_are_done() -> None:
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                length = re.search(r"Content-Length: (\d+)", head)
                body = await reader.readexactly(int(length[1])) if length else b""
                seen.append(json.loads(body)["method"] if body else head.split()[0])
                result = b'{"id":%b,"result":{"content":[{"text":"%012d"}]}}'
                known = {"initialize": (200, b"{}"), "tools/call": (200, result % (b"1", 1))}
                status, text = known.get(seen[-1], (202, b""))
                session = "s1" if "Mcp-Session-Id: s1" in head or seen[-1] == "initialize" else "none"
                answer = f"HTTP/1.1 {status} -\r\nMcp-Session-Id: {session}\r\nContent-Length: {len(text)}\r\n\r\n"
                writer.write(answer.encode() + text)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
        report = await run(short(url, era="2025", conc=1, size=12, calls=1, warmup=0.0))
    assert (report.calls, report.errors) == (1, 0), report.samples
    assert seen == ["initialize", "notifications/initialized", "tools/call", "DELETE"]


@pytest.mark.parametrize("mode", ["garbage/call", "500/call", "wrong-id", "drop-mid-call", "drop-silent"])
@ERAS
async def test_a_bad_answer_is_an_error(mode: str, era: str) -> None:
    async with running("faulty") as upstream:
        report = await run(short(upstream.at(f"/mode/{mode}"), era=era, tool="ping"))
    assert report.calls == 0
    assert report.errors > 0
    assert report.samples


async def test_the_wrong_text_is_an_error() -> None:
    async with running("faulty") as upstream:
        report = await run(short(upstream.at("/mode/healthy"), tool="ping"))
    assert report.calls == 0
    assert "pong" in report.samples[0]


async def test_no_answer_is_an_error() -> None:
    async with running("faulty") as upstream:
        report = await run(short(upstream.at("/mode/hang"), grace=0.2))
    assert (report.calls, report.errors) == (0, 4)


@pytest.mark.parametrize("url", ["http://192.0.2.1/mcp", "https://127.0.0.1/mcp", "http://example.org/mcp"])
async def test_only_loopback_is_loaded(url: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        await run(short(url))


async def test_extra_headers_are_sent() -> None:
    async with running("echo", "--era", "2025") as upstream:
        unknown = ("Mcp-Session-Id: never-seen",)
        report = await run(short(upstream.url, era="2026", headers=unknown))
    assert report.calls == 0


async def test_cpu_is_accounted_to_the_right_process() -> None:
    async with running("echo") as upstream:
        meter = Meter([upstream.pid])
        report = await run(short(upstream.url, conc=8, secs=0.5), meter)
        memory = memory_by_name([upstream.pid])
    name = "tests.support.upstreams.echo"
    assert report.usage is not None
    assert set(report.usage.cpu_s) == {name} == set(memory)
    assert 0.05 < report.usage.cpu_s[name] <= report.usage.secs + 0.1
    assert report.usage.busy_s >= 0.05
    assert 0 < memory[name].pss <= memory[name].rss


async def test_a_tree_holds_the_children_and_what_they_used_before_they_ended() -> None:
    burn = "import time\nwhile time.process_time() < 0.2: pass"
    shell = f"{sys.executable} -c '{burn}'; echo done; read line"
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec("sh", "-c", shell, stdin=pipe, stdout=pipe)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.pid in tree([os.getpid()])
    meter = Meter([process.pid])
    assert await asyncio.wait_for(process.stdout.readline(), PATIENCE) == b"done\n"
    assert sum(meter.read().cpu_s.values()) >= 0.1
    process.stdin.write(b"\n")
    assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
    assert tree([process.pid]) == {}


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["/x/bin/python3", "-m", "a.b", "--port", "1"], "a.b"),
        (["/x/bin/python", "/x/bin/callboard", "edge", "--port", "1"], "callboard edge"),
        (["/x/bin/python", "-X", "dev", "-c", "pass"], "python"),
        (["nats-server", "-p", "4222"], "nats-server"),
        (["/x/bin/node", "/x/bridge.mjs", "--port", "1"], "bridge.mjs"),
    ],
)
async def test_processes_have_telling_names(argv: list[str], name: str) -> None:
    comm = "python" if "python" in argv[0] else "nats-server"
    assert label(comm, argv) == name
