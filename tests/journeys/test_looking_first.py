"""A dry run says whom a change reaches now, over all edges, and what has become of the servers."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tests.journeys.test_streams import Stream, session_of
from tests.support.agents import one_server, published
from tests.support.stack import Stack
from tests.support.upstreams.launch import running
from tests.support.waiting import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="session")]


async def posted(stack: Stack, organisation: str, what: str, **body: Any) -> Any:
    url = f"{stack.url}/api/v1/organisations/{organisation}/playbooks/p/{what}"
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {stack.admin_token}"}, timeout=30) as http:
        answer = await http.post(url, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_dry_run_names_the_clients_that_are_connected_at_any_edge(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation, _ = await published(stack, one_server({"url": upstream.url}))
        listening, calling, pinned = [await stack.token(organisation, name) for name in ("lis", "cal", "pin")]
        await stack.cli("playbook", "pin", f"{organisation}/p", "pin", "@1", "-m", "stays")
        streams = []
        for edge in range(stack.replicas):
            url = stack.endpoint(organisation, "p", edge)
            streams.append(Stream("GET", url, await session_of(url, listening)))
        url = stack.endpoint(organisation, "p")
        streams.append(Stream("GET", url, await session_of(url, pinned)))
        for _ in range(2):
            called = await stack.rpc(url, "tools/call", {"name": "echo", "arguments": {"text": "x"}}, calling)
            assert "error" not in called.json(), called.text
        edits = [{"path": ["title"], "value": "Two"}]
        await posted(stack, organisation, "draft", edits=edits)

        async def known() -> dict[str, Any]:
            looked: dict[str, Any] = await posted(stack, organisation, "publish", dry_run=True)
            clients = {client.pop("client"): client for client in looked["clients"]}
            assert set(clients) == {"lis", "cal"}, "whoever is pinned stays where it is"
            assert clients["lis"]["streams"] == stack.replicas
            assert clients["lis"]["sessions"] >= stack.replicas
            assert clients["cal"]["recent_calls"] == 2
            return looked

        looked = await eventually(known)
        assert "server up answers now" in looked["notes"]
        await posted(stack, organisation, "publish", comment="two")
        back = await posted(stack, organisation, "rollback", to=1, dry_run=True)
        assert "lis" in {client["client"] for client in back["clients"]}
        code, out, _ = await stack.cli("playbook", "rollback", f"{organisation}/p", "--to", "1", "--dry-run")
        assert (code, "connected clients would be served it:" in out or "1 connected client would" in out) == (0, True)
        same = await posted(stack, organisation, "rollback", to=2, dry_run=True)
        assert same["clients"] == [], "nothing would change, so nobody is reached"
        for stream in streams:
            await stream.close()
