"""A subscription is answered when it stands: what changes after the answer is told, and not before it is known of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from tests.edge.gateway import Gateway, running_gateway
from tests.edge.issuing import principal
from tests.support.event_streams import HandshakeSession, Reading
from tests.support.stack import META
from tests.support.waiting import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("standing-subscriptions")]
DOOR = "/p/acme/start/mcp"
URI = "a://1"
LISTENING = {
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": "2026-07-28",
    "Mcp-Method": "subscriptions/listen",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    async with running_gateway(tmp_path_factory.mktemp("standing")) as running:
        yield running


@pytest.fixture(autouse=True)
def slow(gateway: Gateway) -> Iterator[None]:
    """The server does not know yet, until a test says that it does."""
    gateway.issuer.grants["g1"] = principal("g1")
    gateway.watched.clear()
    gateway.stands.clear()
    yield
    gateway.stands.set()


def methods(stream: Reading) -> list[str]:
    return [message["method"] for message in stream.messages]


async def subscribe(gateway: Gateway, session: HandshakeSession) -> Any:
    message = {"id": 1, "method": "resources/subscribe", "params": {"uri": URI}}
    return (await session.post(f"{gateway.url}{DOOR}", message)).json()


async def test_a_session_is_told_that_it_subscribed_once_the_server_knows(gateway: Gateway) -> None:
    session = await HandshakeSession.open(f"{gateway.url}{DOOR}", gateway.issuer.token())
    answer = asyncio.ensure_future(subscribe(gateway, session))
    await eventually(lambda: gateway.watched)
    assert (gateway.watched[0].server, gateway.watched[0].uris) == ("up", (URI,))
    assert not answer.done()
    gateway.stands.set()
    assert (await answer)["result"] == {}


async def test_a_stream_begins_once_what_its_session_watches_is_heard_and_nothing_is_lost_meanwhile(
    gateway: Gateway,
) -> None:
    gateway.stands.set()
    session = await HandshakeSession.open(f"{gateway.url}{DOOR}", gateway.issuer.token())
    await subscribe(gateway, session)
    gateway.stands.clear()
    stream = session.listen(f"{gateway.url}{DOOR}")
    await eventually(lambda: len(gateway.watched) == 2)
    await gateway.update(URI)
    assert not stream.events
    gateway.stands.set()
    await eventually(lambda: methods(stream) == ["notifications/resources/updated"])
    await stream.break_off()


async def test_a_listener_of_the_stateless_era_is_acknowledged_once_it_hears_and_nothing_is_lost_meanwhile(
    gateway: Gateway,
) -> None:
    params = {"_meta": META, "notifications": {"resourceSubscriptions": [URI]}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params}
    headers = {**LISTENING, "Authorization": f"Bearer {gateway.issuer.token()}"}
    stream = Reading(f"{gateway.url}{DOOR}", headers, body)
    await eventually(lambda: gateway.watched)
    await gateway.update(URI)
    assert not stream.events
    gateway.stands.set()
    await eventually(lambda: len(stream.messages) == 2)
    assert methods(stream) == ["notifications/subscriptions/acknowledged", "notifications/resources/updated"]
    await stream.break_off()


async def test_what_a_session_subscribed_to_at_another_edge_is_heard_from_its_answer_on(gateway: Gateway) -> None:
    """The edge with the stream reads the session first, and the change comes meanwhile."""
    gateway.stands.set()
    session = await HandshakeSession.open(f"{gateway.url}{DOOR}", gateway.issuer.token())
    stream = session.listen(f"{gateway.url}{DOOR}")
    await eventually(lambda: stream.events)
    for number in range(20):
        message = {"id": number, "method": "resources/subscribe", "params": {"uri": f"b://{number}"}}
        assert (await session.post(f"{gateway.url}{DOOR}", message)).json()["result"] == {}
        await gateway.update(f"b://{number}")
    await eventually(lambda: len(stream.messages) == 20)
    await stream.break_off()


async def test_where_nobody_answers_for_a_server_the_subscription_is_answered_all_the_same(gateway: Gateway) -> None:
    session = await HandshakeSession.open(f"{gateway.url}{DOOR}", gateway.issuer.token())
    assert (await subscribe(gateway, session))["result"] == {}
    assert gateway.watched
