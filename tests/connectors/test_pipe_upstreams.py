"""Calls to servers over the older HTTP+SSE and over WebSocket, as the router sends them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.connectors.rig import Rig
from tests.support.upstreams.launch import Upstream, running
from tests.support.waiting import PATIENCE, eventually, promised

CLIENTS = pytest.mark.parametrize("client", ["2025-11-25", "2026-07-28"])
# What carries it, and the era that is spoken then.
CARRIED = pytest.mark.parametrize("carrier", ["sse", "websocket-2025", "websocket-2026"])
BOTH = pytest.mark.parametrize("carrier", ["sse", "websocket"])


@contextlib.asynccontextmanager
async def echo(carrier: str, *args: object) -> AsyncIterator[tuple[Upstream, str]]:
    """The echo server, and the URL that a person would register."""
    kind, _, era = carrier.partition("-")
    words = ["--websocket", "--era", era or "both"] if kind == "websocket" else ["--era", "2025"]
    async with running("echo", *words, *map(str, args)) as upstream:
        yield upstream, upstream.websocket if kind == "websocket" else upstream.at("/sse")


@contextlib.asynccontextmanager
async def faulty(carrier: str, mode: str, *args: object) -> AsyncIterator[tuple[Upstream, str]]:
    async with running("faulty_pipes", "--transport", carrier, *map(str, args)) as upstream:
        yield (
            upstream,
            f"ws://127.0.0.1:{upstream.port}/{mode}" if carrier == "websocket" else upstream.at(f"/sse/{mode}"),
        )


@CARRIED
@CLIENTS
async def test_many_calls_at_once_are_answered_and_recorded(rig: Rig, carrier: str, client: str) -> None:
    async with echo(carrier) as (_, url):
        await rig.register("echo", url=url)
        await rig.room()
        status = await rig.online("echo")
        era = "2026-07-28" if carrier == "websocket-2026" else "2025-11-25"
        assert (status.transport, status.era) == (carrier.partition("-")[0], era)
        sent = [await rig.send("echo", "echo", {"text": f"häé {n}"}, era=client) for n in range(100)]
        for number, answer in enumerate(sent):
            await asyncio.wait_for(answer.done.wait(), PATIENCE)
            assert answer.text == f"häé {number}"
        assert (await rig.record_of(sent[0])).upstream_era == era
        answer = await rig.call("echo", "progress", {"steps": 3}, era=client, meta={"progressToken": "mine"})
        assert [one["params"]["progressToken"] for one in answer.notifications] == ["mine"] * 3


@CARRIED
async def test_a_cancelled_or_expired_call_is_cancelled_there(rig: Rig, carrier: str, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with echo(carrier, "--ledger", ledger) as (_, url):
        await rig.register("echo", url=url)
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


@CARRIED
async def test_a_new_tool_is_heard_of(rig: Rig, carrier: str) -> None:
    async with echo(carrier) as (upstream, url):
        await rig.register("echo", url=url)
        await rig.room()
        await rig.online("echo")
        upstream.signal(signal.SIGUSR1)
        await eventually(lambda: "extra" in {item.name for item in rig.catalogues[-1].catalogue.tools})


@CARRIED
async def test_ten_megabytes_come_whole(rig: Rig, carrier: str) -> None:
    async with echo(carrier) as (_, url):
        await rig.register("echo", url=url)
        await rig.room()
        answer = await rig.call("echo", "big", {"bytes": 10_000_000})
        assert len(answer.text) == 10_000_000
        text = "x" * 700_000
        assert (await rig.call("echo", "echo", {"text": text})).text == text


@BOTH
async def test_more_than_the_limit_ends_the_connection_and_another_one_begins(rig: Rig, carrier: str) -> None:
    async with echo(carrier) as (_, url):
        await rig.register("echo", url=url)
        await rig.room(max_body_bytes=1 << 20)
        await rig.online("echo")
        answer = await rig.call("echo", "big", {"bytes": 3_000_000})
        assert answer.error["data"]["code"] == "call.outcome_unknown"
        assert "more than 1048576 bytes" in answer.error["message"]
        assert (await rig.call("echo", "echo", {"text": "next"})).text == "next"


@BOTH
async def test_a_connection_that_is_cut_in_a_call_leaves_its_outcome_unknown_and_the_call_is_sent_once(
    rig: Rig, carrier: str, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    async with faulty(carrier, "cut", "--ledger", ledger) as (_, url):
        await rig.register("bad", url=url)
        await rig.room()
        await rig.online("bad")
        together = [await rig.send("bad", "ping") for _ in range(5)]
        for answer in together:
            await promised(answer.done.is_set, within=5)
            assert answer.error["data"]["code"] in ("call.outcome_unknown", "server.unavailable")
            assert "'bad'" in answer.error["message"]
        unknown = sum(answer.error["data"]["code"] == "call.outcome_unknown" for answer in together)
        assert unknown >= 1
        # A call that was posted to a session which was gone by then was not executed, and may be sent again.
        assert ledger.read_text().count("\n") <= unknown
        # What was lost on one connection counts once, so the pause before the next one is short.
        await eventually(lambda: _again(rig, "bad"))


async def _again(rig: Rig, server: str):  # type: ignore[no-untyped-def]  # ServerStatus or None
    found = await rig.owner(server)
    return found[1] if found is not None and found[1].restarts and found[1].state == "ONLINE" else None


@BOTH
async def test_a_server_that_was_away_is_found_again(rig: Rig, carrier: str) -> None:
    async with echo(carrier) as (upstream, url):
        port = upstream.port
        await rig.register("echo", url=url)
        await rig.room()
        await rig.online("echo")
        flying = await rig.send("echo", "slow", {"seconds": 60})
        await eventually(lambda: rig.is_held(flying.call_id))
    await promised(flying.done.is_set, within=5)
    assert flying.error["data"]["code"] == "call.outcome_unknown"
    away = await rig.call("echo", "echo", {"text": "x"})
    assert away.error["data"]["code"] == "server.unavailable"
    async with echo(carrier, "--port", port):
        await rig.online("echo")
        assert (await eventually(lambda: _echoed(rig))).text == "back"


async def _echoed(rig: Rig):  # type: ignore[no-untyped-def]  # Answer or None
    answer = await rig.call("echo", "echo", {"text": "back"})
    return answer if not answer.last.problem else None


@pytest.mark.parametrize("carrier", ["sse", "websocket"])
@pytest.mark.parametrize("mode", ["garbage", "garbage-call", "hang", "nag"])
async def test_a_faulty_server_is_named_and_called_once(rig: Rig, carrier: str, mode: str, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with faulty(carrier, mode, "--ledger", ledger) as (_, url):
        await rig.register("bad", url=url)
        await rig.room(connect_seconds=0.5)
        answer = await rig.call("bad", "ping", within=3)
        if mode == "nag":
            assert answer.text == "pong"
            return
        assert answer.error["data"]["code"] in ("server.unavailable", "call.outcome_unknown")
        assert "'bad'" in answer.error["message"]
        assert "in time" in answer.error["message"] or "not JSON-RPC" in answer.error["message"]
        assert ledger.read_text().count("\n") == (mode == "garbage-call")


async def test_a_forgotten_session_is_opened_again_and_the_call_made_once(rig: Rig, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with faulty("sse", "forget", "--ledger", ledger) as (_, url):
        await rig.register("lossy", url=url, transport="sse")
        await rig.room()
        await rig.online("lossy")
        for number in range(1, 5):
            assert (await rig.call("lossy", "ping")).text == "pong"
            assert ledger.read_text().count("\n") == number
        assert (await rig.status_of("lossy")).restarts == 3


@BOTH
async def test_every_worker_serves_such_a_server_on_a_connection_of_its_own(rig: Rig, carrier: str) -> None:
    async with echo(carrier) as (_, url):
        await rig.register("echo", url=url)
        for _ in range(2):
            await rig.room()
        await rig.online("echo")
        answers = [await rig.call("echo", "echo", {"text": str(number)}) for number in range(20)]
        assert [answer.text for answer in answers] == [str(number) for number in range(20)]
        workers = {(await rig.record_of(answer)).connector for answer in answers}
        assert len(workers) == 2


# ---------------------------------------------------------------------------------- which transport


async def test_streamable_http_is_tried_first_and_the_older_transport_where_it_is_unknown(rig: Rig) -> None:
    async with running("echo", "--era", "2025") as upstream:
        await rig.register("new", url=upstream.url)
        await rig.register("old", url=upstream.at("/sse"))
        await rig.room()
        assert (await rig.online("new")).transport == "http"
        assert (await rig.online("old")).transport == "sse"


async def test_a_pinned_transport_is_the_only_one_that_is_tried(rig: Rig) -> None:
    async with running("echo") as upstream:
        await rig.room()
        good = await rig.probe(url=upstream.at("/sse"), transport="sse")
        assert good.catalogue is not None
        assert good.catalogue.era == "2025-11-25"
        pinned = await rig.probe(url=upstream.at("/sse"), transport="streamable")
        assert "HTTP 405" in pinned.problem
        elsewhere = await rig.probe(url=upstream.url, transport="sse")
        assert "HTTP 400" in elsewhere.problem
        nowhere = await rig.probe(url=upstream.at("/nothing"))
        assert "nothing at this path (HTTP 404)" in nowhere.problem


async def test_websocket_at_a_url_that_speaks_only_http_is_refused_with_the_reason(rig: Rig) -> None:
    async with running("echo") as upstream:
        await rig.room()
        assert "HTTP 404" in (await rig.probe(url=f"ws://127.0.0.1:{upstream.port}/nothing")).problem


# ----------------------------------------------------------------------------------------- secrets


class Overheard:
    """A server that writes down what anybody sends it."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        writer.close()


@contextlib.asynccontextmanager
async def overhearing(answer: bytes = b"") -> AsyncIterator[Overheard]:
    overheard = Overheard()
    server = await asyncio.start_server(overheard.serve, "127.0.0.1", 0)
    overheard.port = server.sockets[0].getsockname()[1]
    try:
        yield overheard
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("form", ["http://127.0.0.1:{}/messages", "//127.0.0.1:{}/messages"])
async def test_messages_and_secrets_go_to_no_other_origin(rig: Rig, form: str) -> None:
    rig.secrets["key"] = "s3cr3t"
    async with (
        overhearing() as other,
        faulty("sse", "elsewhere", "--elsewhere", form.format(other.port)) as (_, url),
    ):
        await rig.room()
        probed = await rig.probe(url=url, headers={"Authorization": {"secret": "key"}})
        assert "another origin" in probed.problem
        assert other.requests == []


@BOTH
async def test_headers_with_secrets_reach_the_server_and_no_log(rig: Rig, carrier: str) -> None:
    rig.secrets["key"] = "s3cr3t-value"
    async with overhearing() as other:
        url = f"ws://127.0.0.1:{other.port}/" if carrier == "websocket" else f"http://127.0.0.1:{other.port}/"
        transport = "sse" if carrier == "sse" else "auto"
        await rig.register("new", url=url, transport=transport, headers={"Authorization": {"secret": "key"}})
        await rig.worker("w1", log_level="debug")
        await eventually(lambda: other.requests)
        assert b"\r\nauthorization: s3cr3t-value\r\n" in other.requests[0].replace(b"Authorization", b"authorization")
        await eventually(lambda: rig.owner("new"))
        assert "s3cr3t" not in rig.log_of("w1")
