"""A client of the handshake era loses its connection and gets the rest, at whatever edge it comes back to."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.agents import agent, one_server, published
from tests.support.event_streams import Event, HandshakeSession, Reading
from tests.support.stack import Stack
from tests.support.upstreams.launch import running
from tests.support.waiting import PATIENCE, eventually

pytestmark = [pytest.mark.asyncio(loop_scope="session")]
STEPS = {"steps": 4, "interval": 0.2}
WATCHED = "test://watched-resource"


def first_and_last(stack: Stack, organisation: str) -> tuple[str, str]:
    """Two edges, where there are two."""
    return stack.endpoint(organisation, "p"), stack.endpoint(organisation, "p", stack.replicas - 1)


def is_answer(event: Event) -> bool:
    return "result" in event.message or "error" in event.message


def is_mark(event: Event) -> bool:
    return bool(event.id) and not event.data


def has_method(method: str) -> Any:
    return lambda event: event.message.get("method") == method


async def test_a_stream_opens_with_where_to_go_on_from_and_every_event_has_an_id(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        here, _ = first_and_last(stack, organisation)
        session = await HandshakeSession.open(here, token)
        mark, *events = await session.call(here, "progress", STEPS).end()
        assert is_mark(mark)
        assert mark.retry
        assert len({event.id for event in (mark, *events)}) == STEPS["steps"] + 2
        assert all(event.id for event in events)
        assert [event.message["params"]["progress"] for event in events[:-1]] == [1, 2, 3, 4]
        assert is_answer(events[-1])
        assert (await session.post(here, call("echo", {"text": "quick"}))).json()["result"]


def call(tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"id": 7, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}


async def test_whoever_speaks_an_older_revision_gets_no_events_without_data(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        here, _ = first_and_last(stack, organisation)
        session = await HandshakeSession.open(here, token, version="2025-06-18")
        events = await session.call(here, "progress", STEPS).end()
        assert [(event.id, event.retry, bool(event.data)) for event in events] == [("", None, True)] * 5


async def test_from_every_event_on_the_rest_is_told_again_at_any_edge(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        here, there = first_and_last(stack, organisation)
        session = await HandshakeSession.open(here, token)
        events = await session.call(here, "progress", STEPS, id="an id").end()
        for heard in range(len(events) - 1):
            assert await session.listen(there, events[heard].id).end() == events[heard + 1 :]
        assert await session.listen(there, events[-1].id).end() == [], "it has the answer"


async def test_a_broken_connection_cancels_nothing_and_the_answer_comes_after_all(stack: Stack, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with running("echo", "--ledger", ledger) as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        here, there = first_and_last(stack, organisation)
        session = await HandshakeSession.open(here, token)
        before = session.call(here, "slow", {"seconds": 3, "text": "once"})
        mark = await before.heard(is_mark)
        await before.break_off()
        (answer,) = await session.listen(there, mark.id).end()
        assert answer.message["result"]["content"][0]["text"] == "once"
        assert ledger.read_text() == "once\n"


async def test_the_stream_goes_on_while_it_is_followed(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        here, there = first_and_last(stack, organisation)
        session = await HandshakeSession.open(here, token)
        before = session.call(here, "progress", {"steps": 8, "interval": 0.25})
        second = await before.heard(lambda event: event.message.get("params", {}).get("progress") == 2)
        await before.break_off()
        messages = [event.message for event in await session.listen(there, second.id).end()]
        assert [message["params"]["progress"] for message in messages[:-1]] == [3, 4, 5, 6, 7, 8]
        assert messages[-1]["result"]


async def test_a_large_answer_is_kept_whole(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        here, there = first_and_last(stack, organisation)
        session = await HandshakeSession.open(here, token)
        session.headers["Accept"] = "text/event-stream, application/json"
        size = 9_000_000
        events = await session.call(here, "big", {"bytes": size}).end(30)
        assert len(events[-1].data) > size
        assert await session.listen(there, events[0].id).end(30) == events[1:]


async def test_who_comes_back_takes_the_stream_over(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        here, there = first_and_last(stack, organisation)
        session = await HandshakeSession.open(here, token)
        before = session.call(here, "slow", {"seconds": 4, "text": "x"})
        mark = await before.heard(is_mark)
        second = session.listen(there, mark.id)
        await eventually(lambda: second.status == 200)
        third = session.listen(here, mark.id)
        assert await second.end(3) == []
        assert is_answer((await third.end())[-1])
        assert not any(is_answer(event) for event in await before.end())


async def test_an_upstream_that_wants_to_be_polled_makes_its_client_poll(stack: Stack) -> None:
    async with running("everything", "--era", "2025") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        here, there = first_and_last(stack, organisation)
        session = await HandshakeSession.open(here, token)
        events = await session.call(here, "test_reconnection").end()
        assert not any(event.data for event in events)
        assert events[-1].retry == 100
        (answer,) = [event for event in await session.listen(there, events[-1].id).end() if event.data]
        assert answer.message["result"]["content"][0]["text"] == "Reconnection test completed"


async def test_the_official_client_polls_with_us(stack: Stack) -> None:
    async with running("everything", "--era", "2025") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        async with agent(stack.endpoint(organisation, "p"), token, "legacy") as client:
            answer = await client.call_tool("test_reconnection", {})
            assert answer.content[0].text == "Reconnection test completed"


@pytest.mark.parametrize("who", ["another session", "another agent"])
async def test_nobody_else_hears_the_rest(stack: Stack, who: str) -> None:
    async with running("echo") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        here, there = first_and_last(stack, organisation)
        session = await HandshakeSession.open(here, token)
        events = await session.call(here, "progress", STEPS).end()
        other = token if who == "another session" else await stack.token(organisation, "somebody-else")
        foreign = await HandshakeSession.open(there, other)
        (refused,) = await foreign.listen(there, events[0].id).end()
        assert refused.message["error"]["data"]["code"] == "call.outcome_unknown"
        assert "result" not in refused.message
        foreign.headers["Mcp-Session-Id"] = session.headers["Mcp-Session-Id"]
        if who == "another agent":
            stolen = foreign.listen(there, events[0].id)
            await stolen.end()
            assert stolen.status == 404
        assert await session.listen(there, events[0].id).end() == events[1:]


async def test_an_event_that_is_forgotten_is_answered_and_the_session_goes_on(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        here, there = first_and_last(stack, organisation)
        session = await HandshakeSession.open(here, token)
        events = await session.call(here, "progress", STEPS, id="mine").end()
        call_id, request, _ = events[0].id.split(".")
        forgotten = f"{'0' * len(call_id)}.{request}.3"
        (lost,) = await session.listen(there, forgotten).end(5)
        assert lost.message["id"] == "mine"
        assert lost.message["error"]["data"]["code"] == "call.outcome_unknown"
        refused = session.listen(there, "never heard of")
        await refused.end(5)
        assert refused.status == 400
        assert (await session.post(there, call("echo", {"text": "still here"}))).json()["result"]


async def test_a_gap_in_what_is_kept_is_told_and_not_left_out(stack: Stack) -> None:
    kept, steps = 2048, 2200
    async with running("echo") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        here, there = first_and_last(stack, organisation)
        session = await HandshakeSession.open(here, token)
        events = await session.call(here, "progress", {"steps": steps, "interval": 0}, id="mine").end(60)
        assert [event.id.split(".")[2] for event in events] == [str(number) for number in range(steps + 2)]
        whole = len(events) - kept - 1
        for heard in (0, whole - 1):
            (lost,) = await session.listen(there, events[heard].id).end(10)
            assert lost.message["id"] == "mine"
            assert lost.message["error"]["data"]["code"] == "call.outcome_unknown"
            assert lost.message["error"]["data"]["call_id"] == events[heard].id.split(".")[0]
            assert "lost" in lost.message["error"]["message"]
        assert await session.listen(there, events[whole].id).end(60) == events[whole + 1 :]


async def test_a_question_is_asked_again_and_its_answer_ends_the_call(stack: Stack) -> None:
    async with running("everything", "--era", "2025") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        here, there = first_and_last(stack, organisation)
        session = await HandshakeSession.open(here, token, {"elicitation": {}})
        before = session.call(here, "test_elicitation", {"message": "Who?"})
        await before.heard(has_method("elicitation/create"))
        await before.break_off()
        after = session.listen(there, before.events[0].id)
        question = (await after.heard(has_method("elicitation/create"))).message
        content = {"username": "ada", "email": "ada@example.org"}
        result = {"action": "accept", "content": content}
        assert (await session.post(here, {"id": question["id"], "result": result})).status_code == 202
        assert "accept" in (await after.end())[-1].message["result"]["content"][0]["text"]


async def followed(here: str, there: str, token: str) -> tuple[HandshakeSession, Reading]:
    """A session with a call that takes long, and the connection on which the client came back for it."""
    session = await HandshakeSession.open(here, token)
    before = session.call(here, "slow", {"seconds": 20, "text": "x"})
    mark = await before.heard(is_mark)
    await before.break_off()
    after = session.listen(there, mark.id)
    await eventually(lambda: after.status == 200)
    return session, after


async def test_a_deleted_session_ends_what_is_followed(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        here, there = first_and_last(stack, organisation)
        session, after = await followed(here, there, token)
        async with httpx2.AsyncClient(timeout=PATIENCE) as http:
            assert (await http.delete(here, headers=session.headers)).status_code == 204
        assert await after.end(5) == []


async def test_a_revoked_token_ends_what_is_followed(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation, _ = await published(stack, one_server({"url": upstream.url}))
        here, there = first_and_last(stack, organisation)
        issued = await stack.cli_json("token", "issue", "agent-2", "--org", organisation)
        _, after = await followed(here, there, issued["token"])
        await stack.cli("token", "revoke", issued["key_id"], "--org", organisation)
        assert await after.end(5) == []


async def test_what_the_edge_that_waited_knew_dies_with_it_and_the_client_is_told(stack: Stack) -> None:
    if stack.replicas == 1:
        pytest.skip("one edge: nobody is left to tell")
    async with running("echo") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        here, there = first_and_last(stack, organisation)
        session = await HandshakeSession.open(here, token)
        mark = await session.call(here, "slow", {"seconds": 30, "text": "x"}).heard(is_mark)
        killed = stack.kill("edge-1")
        (lost,) = await session.listen(there, mark.id).end(6)
        assert lost.message["error"]["data"]["code"] == "call.outcome_unknown"
        assert lost.message["error"]["data"]["call_id"] == mark.id.split(".")[0]
        await eventually(lambda: stack.pids().get("edge-1", killed) != killed)
        await stack.ready(30)
        (again,) = await session.listen(here, mark.id).end(6)
        assert again.message["error"]["data"]["code"] == "call.outcome_unknown"


async def test_an_edge_that_dies_under_a_follower_takes_the_answer_with_it_at_once(stack: Stack) -> None:
    if stack.replicas == 1:
        pytest.skip("one edge: the follower dies too")
    async with running("echo") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        here, there = first_and_last(stack, organisation)
        session = await HandshakeSession.open(here, token)
        mark = await session.call(here, "slow", {"seconds": 30, "text": "x"}).heard(is_mark)
        after = session.listen(there, mark.id)
        await eventually(lambda: after.status == 200)
        killed = stack.kill("edge-1")
        (lost,) = await after.end(8)
        assert lost.message["error"]["data"]["code"] == "call.outcome_unknown"
        await eventually(lambda: stack.pids().get("edge-1", killed) != killed)
        await stack.ready(30)


# ------------------------------------------------------------------------------------- the session's own stream


def own(session: HandshakeSession, uri: str) -> dict[str, Any]:
    return {"id": str(uuid.uuid4()), "method": "resources/subscribe", "params": {"uri": uri}}


async def test_what_changed_while_nobody_listened_is_told_once_the_client_is_back(stack: Stack) -> None:
    async with running("everything", "--era", "2025") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        here, there = first_and_last(stack, organisation)
        session = await HandshakeSession.open(here, token)
        assert (await session.post(here, own(session, WATCHED))).json()["result"] == {}
        stream = session.listen(here)
        mark = await stream.heard(is_mark)
        await trigger(session, here, "test_trigger_resource_change")
        heard = await stream.heard(has_method("notifications/resources/updated"))
        await stream.break_off()
        await trigger(session, here, "test_trigger_resource_change")
        await trigger(session, here, "test_trigger_tool_change")
        await eventually(lambda: lists_extra(session, there), every=0.2)
        back = session.listen(there, heard.id)
        await back.heard(has_method("notifications/resources/updated"))
        await back.heard(has_method("notifications/tools/list_changed"))
        assert len(back.messages) == 2
        await back.break_off()
        assert mark.id != back.events[0].id


async def test_what_was_told_is_not_told_again(stack: Stack) -> None:
    async with running("everything", "--era", "2025") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        here, there = first_and_last(stack, organisation)
        session = await HandshakeSession.open(here, token)
        await session.post(here, own(session, WATCHED))
        stream = session.listen(here)
        mark = await stream.heard(is_mark)
        await trigger(session, here, "test_trigger_resource_change")
        heard = await stream.heard(has_method("notifications/resources/updated"))
        await stream.break_off()
        again = session.listen(there, heard.id)
        await again.heard(is_mark)
        await trigger(session, here, "test_trigger_resource_change")
        await again.heard(has_method("notifications/resources/updated"))
        assert len(again.messages) == 1
        await again.break_off()
        # The stream went on: of an event from before, nobody knows what was missed since.
        longer_ago = session.listen(here, mark.id)
        await longer_ago.heard(has_method("notifications/resources/updated"))
        await longer_ago.break_off()


async def trigger(session: HandshakeSession, url: str, tool: str) -> None:
    assert (await session.post(url, call(tool, {}))).json()["result"]


async def lists_extra(session: HandshakeSession, url: str) -> bool:
    listed = (await session.post(url, {"id": 9, "method": "tools/list"})).json()["result"]["tools"]
    return any(tool["name"] == "test_dynamic_tool" for tool in listed)
