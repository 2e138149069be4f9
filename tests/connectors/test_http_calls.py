"""Calls to Streamable HTTP servers of both eras, as the router sends them."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from callboard.contracts.calls import RESULT
from callboard.platform import record_bursts
from tests.connectors.rig import Rig
from tests.support.upstreams.launch import running
from tests.support.waiting import PATIENCE, eventually, promised

ERAS = pytest.mark.parametrize("era", ["2025", "2026"])
CLIENTS = pytest.mark.parametrize("client", ["2025-11-25", "2026-07-28"])


@ERAS
@CLIENTS
@pytest.mark.parametrize("form", [(), ("--sse",)], ids=["json", "sse"])
async def test_a_call_is_answered_to_the_edge_and_recorded(
    rig: Rig, era: str, client: str, form: tuple[str, ...]
) -> None:
    async with running("echo", "--era", era, *form) as upstream:
        await rig.register("echo", url=upstream.url)
        await rig.room()
        answer = await rig.call("echo", "echo", {"text": "häé\n"}, era=client)
        assert answer.text == "häé\n"
        assert answer.result.get("resultType") == ("complete" if client == "2026-07-28" or era == "2026" else None)
        record = await rig.record_of(answer)
        assert (record.outcome, record.tool, record.version) == ("ok", "echo__echo", 3)
        assert record.upstream_era == {"2025": "2025-11-25", "2026": "2026-07-28"}[era]
        assert record.total_us >= record.upstream_us > 0


@ERAS
@CLIENTS
async def test_progress_comes_before_the_result_with_the_token_of_the_client(rig: Rig, era: str, client: str) -> None:
    async with running("echo", "--era", era) as upstream:
        await rig.register("echo", url=upstream.url)
        await rig.room()
        answer = await rig.call("echo", "progress", {"steps": 5}, era=client, meta={"progressToken": "mine-7"})
        assert answer.text == "5 steps"
        assert [one["params"]["progress"] for one in answer.notifications] == [1, 2, 3, 4, 5]
        assert {one["params"]["progressToken"] for one in answer.notifications} == {"mine-7"}
        quiet = await rig.call("echo", "progress", {"steps": 2}, era=client)
        assert quiet.notifications == []


@ERAS
async def test_errors_of_the_upstream_travel_as_they_are(rig: Rig, era: str) -> None:
    async with running("echo", "--era", era) as upstream:
        await rig.register("echo", url=upstream.url)
        await rig.room()
        refused = await rig.call("echo", "rpc_error")
        assert refused.error == {"code": -32000, "message": "refused as asked", "data": {"reason": "asked"}}
        assert refused.last.problem == ""
        record = await rig.record_of(refused)
        assert (record.outcome, record.error_code) == ("error", -32000)
        unknown = await rig.call("echo", "nonsense")
        assert unknown.error["code"] == -32602
        failed = await rig.call("echo", "fail")
        assert failed.result["isError"] is True
        assert (await rig.record_of(failed)).outcome == "tool_error"


@ERAS
async def test_a_cancelled_call_is_cancelled_upstream(rig: Rig, era: str, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with running("echo", "--era", era, "--ledger", ledger) as upstream:
        await rig.register("echo", url=upstream.url)
        await rig.room()
        by_id = await rig.send("echo", "slow", {"seconds": 60, "text": "one"})
        by_request = await rig.send("echo", "slow", {"seconds": 60, "text": "two"}, session="s1", request_id="7")
        await eventually(lambda: {"one", "two"} <= set(ledger.read_text().split()))
        await rig.cancel(call_id=by_id.call_id)
        await rig.cancel(session="s2", request_id="7")
        await promised(by_id.done.is_set, within=5)
        assert by_id.error["data"]["code"] == "call.cancelled"
        assert not by_request.done.is_set()
        await rig.cancel(session="s1", request_id="7")
        await promised(by_request.done.is_set, within=5)
        await eventually(lambda: {"cancelled:one", "cancelled:two"} <= set(ledger.read_text().split()))
        assert (await rig.record_of(by_id)).outcome == "cancelled"


@ERAS
async def test_the_deadline_ends_a_call_here_and_there(rig: Rig, era: str, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with running("echo", "--era", era, "--ledger", ledger) as upstream:
        await rig.register("echo", url=upstream.url)
        await rig.room()
        await rig.call("echo", "echo", {"text": "warm"})
        answer = await rig.call("echo", "slow", {"seconds": 60, "text": "late"}, within=0.3)
        assert answer.error["data"]["code"] == "call.deadline_exceeded"
        assert answer.error["data"]["server"] == "echo"
        assert answer.last.problem == "call.deadline_exceeded"
        await eventually(lambda: "cancelled:late" in ledger.read_text().split())
        record = await rig.record_of(answer)
        assert record.outcome == "timeout"
        assert 0 < record.upstream_us <= record.total_us, "the time was the server's"


async def test_a_call_that_comes_too_late_is_not_made(rig: Rig, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with running("echo", "--ledger", ledger) as upstream:
        await rig.register("echo", url=upstream.url)
        await rig.room()
        answer = await rig.call("echo", "mark", {"text": "no"}, within=-1)
        assert answer.error["data"]["code"] == "call.deadline_exceeded"
        assert ledger.read_text() == ""


async def test_the_same_call_delivered_twice_is_made_once(rig: Rig, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with running("echo", "--ledger", ledger) as upstream:
        await rig.register("echo", url=upstream.url)
        await rig.room()
        first = await rig.send("echo", "mark", {"text": "once"}, call_id="same")
        second = await rig.send("echo", "mark", {"text": "once"}, call_id="same")
        await promised(second.done.is_set, within=5)
        await rig.call("echo", "mark", {"text": "after"})
        assert ledger.read_text() == "once\nafter\n"
        assert not first.done.is_set()


async def test_results_over_the_limit_of_the_bus_come_in_pieces(rig: Rig) -> None:
    async with running("faulty") as upstream:
        await rig.register("huge", url=upstream.at("/mode/huge?bytes=40000000"))
        await rig.room()
        answer = await rig.call("huge", "ping")
        assert len(answer.frames) == 2
        assert len(answer.text) >= 40_000_000


async def test_whoever_missed_an_answer_can_ask_for_it(rig: Rig) -> None:
    async with running("echo") as upstream:
        await rig.register("echo", url=upstream.url)
        await rig.room()
        done = await rig.call("echo", "echo", {"text": "again"})
        assert await rig.is_held(done.call_id)
        await eventually(lambda: len(done.frames) == 2)
        assert done.frames[0] == done.frames[1]
        running_call = await rig.send("echo", "slow", {"seconds": 0.5, "text": "x"})
        assert await rig.is_held(running_call.call_id)
        assert not await rig.is_held("never-seen")


async def test_calls_over_the_bulkhead_are_refused_at_once(rig: Rig) -> None:
    async with running("echo") as upstream:
        await rig.register("echo", url=upstream.url)
        await rig.room(bulkhead=2)
        await rig.call("echo", "echo", {"text": "warm"})
        slow = [await rig.send("echo", "slow", {"seconds": 0.5}) for _ in range(2)]
        refused = await rig.call("echo", "echo", {"text": "x"})
        assert "busy" in refused.error["message"]
        for answer in slow:
            await promised(answer.done.is_set, within=5)
            assert answer.result


@pytest.mark.parametrize(
    ("mode", "code", "words"),
    [
        ("garbage/call", "server.invalid_answer", "not JSON-RPC"),
        ("500/call", "server.unavailable", "HTTP 500"),
        ("wrong-id", "server.invalid_answer", "another request"),
        ("drop-mid-call", "call.outcome_unknown", "within its answer"),
        ("drop-silent", "call.outcome_unknown", "without an answer"),
        ("endless/call", "call.deadline_exceeded", "deadline"),
        ("hang/call", "call.deadline_exceeded", "deadline"),
        ("endless-body/call", "server.invalid_answer", "more than"),
    ],
)
async def test_a_faulty_upstream_is_named_and_called_once(
    rig: Rig, mode: str, code: str, words: str, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    async with running("faulty", "--ledger", ledger) as upstream:
        await rig.register("bad", url=upstream.at(f"/mode/{mode}"))
        await rig.room(max_body_bytes=1 << 20)
        await rig.online("bad")
        answer = await rig.call("bad", "ping", within=1.0)
        assert answer.error["data"]["code"] == code
        assert words in answer.error["message"]
        assert "'bad'" in answer.error["message"]
        assert answer.error["data"]["hint"]
        assert ledger.read_text().count("\n") == 1


async def test_a_lost_session_is_opened_again_and_the_call_made_once(rig: Rig, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with running("faulty", "--ledger", ledger) as upstream:
        await rig.register("lossy", url=upstream.at("/mode/lost-session"))
        await rig.room()
        await rig.online("lossy")
        for _ in range(7):
            assert (await rig.call("lossy", "ping")).text == "pong"
        together = [await rig.send("lossy", "ping") for _ in range(12)]
        for answer in together:
            await asyncio.wait_for(answer.done.wait(), PATIENCE)
        # A session that ends while it is being used may take a call with it; none is answered twice.
        assert all(len(answer.frames) == 1 for answer in together)


async def test_a_server_that_is_not_there_is_refused_at_once_and_found_again(rig: Rig) -> None:
    async with running("echo") as upstream:
        port = upstream.port
    await rig.register("gone", url=f"http://127.0.0.1:{port}/mcp")
    await rig.room()
    for _ in range(6):
        answer = await rig.call("gone", "echo", {"text": "x"})
        assert answer.error["data"]["code"] == "server.unavailable"
    assert "tried again in" in answer.error["message"]
    assert "connection failed" in answer.error["message"]
    assert (await eventually(lambda: rig.status_of("gone"))).state == "OFFLINE"
    async with running("echo", "--port", str(port)):
        status = await rig.online("gone")
        assert status.problem == ""
        assert (await rig.call("gone", "echo", {"text": "back"})).text == "back"


async def test_one_bad_server_does_not_slow_down_another(rig: Rig) -> None:
    async with running("faulty") as faulty, running("echo") as upstream:
        await rig.register("bad", url=faulty.at("/mode/hang"))
        await rig.register("echo", url=upstream.url)
        await rig.room()
        stuck = [await rig.send("bad", "ping", within=3) for _ in range(20)]
        for number in range(20):
            assert (await rig.call("echo", "echo", {"text": str(number)}, within=1)).text == str(number)
        for answer in stuck:
            await promised(answer.done.is_set, within=5)
            assert answer.error


async def test_headers_with_secrets_reach_the_upstream_and_no_log(rig: Rig) -> None:
    async with running("tests.connectors.mirror") as upstream:
        rig.secrets["key"] = "s3cr3t-value"
        await rig.register("mirror", url=upstream.url, headers={"X-Key": {"secret": "key"}, "X-Plain": "plain"})
        worker = await rig.worker("w1", log_level="debug")
        answer = await rig.call("mirror", "whoami", {"region": "zürich", "count": 3, "on": True})
        seen = answer.result["headers"]
        assert (seen["x-key"], seen["x-plain"]) == ("s3cr3t-value", "plain")
        assert seen["mcp-name"] == "whoami"
        assert seen["mcp-method"] == "tools/call"
        assert seen["mcp-protocol-version"] == "2026-07-28"
        await rig.online("mirror")
        again = (await rig.call("mirror", "whoami", {"region": "zürich", "count": 3, "on": True})).result["headers"]
        assert again["mcp-param-region"] == "=?base64?esO8cmljaA==?="
        assert (again["mcp-param-count"], again["mcp-param-on"]) == ("3", "true")
        await worker.stop()
        assert "s3cr3t" not in rig.log_of("w1")


async def test_a_missing_secret_keeps_the_server_offline_with_the_reason(rig: Rig) -> None:
    async with running("echo") as upstream:
        await rig.register("echo", url=upstream.url, headers={"Authorization": {"secret": "absent"}})
        await rig.room()
        answer = await rig.call("echo", "echo", {"text": "x"})
        assert "absent" in answer.error["message"]
        assert (await eventually(lambda: rig.status_of("echo"))).state == "OFFLINE"


async def test_the_meta_of_a_modern_upstream_carries_the_capabilities_of_the_caller(rig: Rig) -> None:
    async with running("tests.connectors.mirror") as upstream:
        await rig.register("mirror", url=upstream.url)
        await rig.room()
        meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "vendor/x": [1, 2]}
        answer = await rig.call(
            "mirror",
            "whoami",
            meta=meta,
            capabilities=b'{"elicitation":{}}',
            traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01",
        )
        seen = answer.result["meta"]
        assert seen["io.modelcontextprotocol/clientCapabilities"] == {"elicitation": {}}
        assert seen["io.modelcontextprotocol/clientInfo"]["name"] == "callboard"
        assert seen["vendor/x"] == [1, 2]
        assert seen["traceparent"].startswith("00-aaaa")
        assert (await rig.record_of(answer)).trace_id == "a" * 32


async def test_a_question_that_a_handshake_client_did_not_offer_to_answer_is_a_clear_error(rig: Rig) -> None:
    async with running("tests.connectors.mirror") as upstream:
        await rig.register("mirror", url=upstream.url)
        await rig.room()
        asked = await rig.call("mirror", "ask")
        assert asked.result["resultType"] == "input_required"
        refused = await rig.call("mirror", "ask", era="2025-11-25")
        assert refused.error["code"] == -32603
        assert "did not offer: elicitation" in refused.error["message"]


async def test_many_calls_that_fail_together_count_as_little_as_few(rig: Rig) -> None:
    async with running("faulty") as upstream:
        await rig.register("bad", url=upstream.at("/mode/drop-silent"))
        await rig.room()
        await rig.online("bad")
        sent = [await rig.send("bad", "ping") for _ in range(40)]
        for answer in sent:
            await promised(answer.done.is_set, within=5)
        waits = [answer.error["data"].get("retry_after_seconds", 0) for answer in sent]
        assert max(waits) <= 1
        # The server answers its negotiation, so it is back after the first pause.
        await eventually(lambda: _reaches(rig))


async def _reaches(rig: Rig) -> bool:
    return bool((await rig.call("bad", "ping")).error["data"]["code"] == "call.outcome_unknown")


async def test_a_server_that_is_retired_and_registered_again_is_served_anew(rig: Rig) -> None:
    async with running("echo") as first, running("echo", "--tools", "1") as second:
        await rig.register("echo", url=first.url)
        await rig.room()
        await rig.online("echo")
        for _ in range(3):
            await rig.retire("echo")
            await rig.register("echo", url=first.url)
        await rig.retire("echo")
        await rig.register("echo", url=second.url)

        async def is_second() -> bool:
            answer = await rig.send("echo", "echo_00001", {"text": "x"}, within=1)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(answer.done.wait(), 1)
            return bool(answer.frames) and answer.last.kind == RESULT

        await eventually(is_second)
        await eventually(lambda: rig.status_of("echo"))


async def test_a_redirect_within_the_server_is_followed_and_any_other_named(rig: Rig) -> None:
    async with running("tests.connectors.mirror") as upstream:
        await rig.register("moved", url=upstream.at("/moved"))
        await rig.register("away", url=upstream.at("/away"))
        await rig.room()
        assert (await rig.call("moved", "whoami")).result["headers"]
        refused = await rig.call("away", "whoami")
        assert "redirects elsewhere" in refused.error["message"]


async def test_a_worker_that_stops_finishes_its_calls_or_says_that_it_does_not_know(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_bursts, "BURST_SECONDS", 60)
    async with running("echo") as upstream:
        await rig.register("echo", url=upstream.url)
        room = await rig.room()
        await rig.online("echo")
        short = await rig.send("echo", "slow", {"seconds": 0.8, "text": "done"})
        long = await rig.send("echo", "slow", {"seconds": 60, "text": "never"}, within=60)
        await eventually(lambda: rig.is_held(long.call_id))
        rig.rooms.remove(room)
        await asyncio.wait_for(room.stop(), 3.5)
        await promised(long.done.is_set, within=2)
        assert short.text == "done"
        assert long.error["data"]["code"] == "call.outcome_unknown"
        assert "stopped" in long.error["message"]
        outcomes = [(await rig.record_of(answer)).outcome for answer in (short, long)]
        assert (outcomes, rig.bursts) == (["ok", "unknown"], [2]), "its records do not wait for their time"


async def test_calls_of_a_moment_leave_their_records_in_a_few_messages(rig: Rig) -> None:
    async with running("echo") as upstream:
        await rig.register("echo", url=upstream.url)
        await rig.room()
        await rig.online("echo")
        answers = await asyncio.gather(*(rig.call("echo", "echo", {"text": str(n)}) for n in range(40)))
        for answer in answers:
            assert (await rig.record_of(answer)).outcome == "ok"
        assert sum(rig.bursts) == len(rig.records) == 40
        assert len(rig.bursts) < 20
