"""A tool that wants more scopes than a token has: what the router is told of the token, and what the client is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import msgspec
import pytest
import pytest_asyncio
from nats.aio.client import Client
from nats.aio.msg import Msg

from callboard.contracts.access import Principal
from callboard.contracts.calls import ERROR, ReplyHead, frame, unframe_rpc
from callboard.contracts.problems import Problem
from callboard.kernel.access_tokens import resource_url
from callboard_edge.mcp.answers import problem_object
from callboard_edge.mcp.gate import scopes_of
from tests.authsvc.stack import some_token
from tests.edge.gateway import Gateway, running_gateway
from tests.edge.issuing import principal
from tests.support.stack import META

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("step-up-challenges")]
DOOR = "/p/acme/start/mcp"
ANN = "person-1"
USE, READ, OPERATE, MANAGE = "mcp:use", "mcp:read", "mcp:operate", "mcp:manage"


@pytest.mark.parametrize(
    ("member", "token", "role", "renewed", "expected"),
    [
        (ANN, ("use",), "operator", True, (USE, OPERATE)),
        (ANN, ("use", "operate"), "operator", True, (OPERATE, OPERATE)),
        (ANN, ("use", "manage"), "user", True, (USE, USE)),
        (ANN, ("use",), "owner", True, (USE, MANAGE)),
        (ANN, ("use",), None, True, (USE, MANAGE)),
        ("ci", ("use",), "operator", True, (USE, USE)),
        (ANN, ("use",), "operator", False, (USE, USE)),
        ("", ("use", "read"), None, False, (READ, READ)),
        ("", ("call:read",), None, False, ("", "")),
        ("", ("administer",), None, False, (MANAGE, MANAGE)),
        (ANN, ("use",), "nothing", True, ("", "")),
    ],
)
async def test_what_a_token_may_do_and_what_its_person_could_agree_to(
    member: str, token: tuple[str, ...], role: str | None, renewed: bool, expected: tuple[str, str]
) -> None:
    grants = None if role is None else {"acme": (role,)}
    whose = Principal(
        key_id="k", client="c", organisation="acme", scopes=token, member=member, grants=grants, renewed=renewed
    )
    assert scopes_of(whose, "acme") == expected
    if role is not None:
        assert scopes_of(whose, "globex") == ("", ""), "what is allowed elsewhere is nothing here"


class Demanding(Gateway):
    """Its router refuses every call of a tool as the real one would without the scope."""

    async def route(self, client: Client, message: Msg) -> None:
        head, body = unframe_rpc(message.data)
        if head.method != "tools/call":
            await super().route(client, message)
            return
        self.heads.append((head, body))
        problem = Problem("auth.scope_insufficient", "policy p wants it", scope="mcp:use mcp:operate", tool="reset")
        reply = frame(ReplyHead(head.call_id, ERROR, problem.code), problem_object(problem))
        await client.publish(message.reply, reply)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.edge.gateway.Gateway", Demanding)
        async with running_gateway(tmp_path_factory.mktemp("step-up")) as running:
            yield running


@pytest.fixture(autouse=True)
def grants(gateway: Gateway) -> None:
    for gid in ("g1", "g2"):
        gateway.issuer.grants[gid] = principal(
            gid, member=ANN, client=ANN, oauth_client="c1", grants={"acme": ("operator",)}, scopes=("use", "operate")
        )
    gateway.issuer.grants["other"] = principal("other", member=ANN, client=ANN, oauth_client="c2")
    gateway.heads.clear()


async def call(gateway: Gateway, token: str, path: str = DOOR) -> httpx2.Response:
    """In the stateless era."""
    params = {"name": "reset", "arguments": {}, "_meta": META}
    headers = {
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call",
        "Mcp-Name": "reset",
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return await gateway.request("POST", path, token, json=body, headers=headers)


async def say(gateway: Gateway, token: str, session: str | None, **message: Any) -> httpx2.Response:
    """In the handshake era."""
    headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}
    if session is not None:
        headers["Mcp-Session-Id"] = session
    return await gateway.request("POST", DOOR, token, json={"jsonrpc": "2.0", "id": 1, **message}, headers=headers)


async def begun(gateway: Gateway, token: str) -> str:
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}
    answer = await say(gateway, token, None, method="initialize", params=hello)
    assert answer.status_code == 200
    return str(answer.headers["mcp-session-id"])


RESET = {"method": "tools/call", "params": {"name": "reset", "arguments": {}}}


def is_challenged(answer: httpx2.Response, gateway: Gateway, path: str = DOOR) -> None:
    assert answer.status_code == 403
    assert answer.headers["www-authenticate"] == (
        'Bearer realm="callboard", error="insufficient_scope", scope="mcp:use mcp:operate", '
        f'resource_metadata="{gateway.url}/.well-known/oauth-protected-resource{path}"'
    )
    error = answer.json()["error"]
    assert error["code"] == -32003
    assert (error["data"]["code"], error["data"]["scope"]) == ("auth.scope_insufficient", "mcp:use mcp:operate")


async def test_in_both_eras_the_client_is_told_all_scopes_of_the_call_and_where_to_get_them(gateway: Gateway) -> None:
    token = gateway.issuer.token()
    is_challenged(await call(gateway, token), gateway)
    session = await begun(gateway, token)
    is_challenged(await say(gateway, token, session, **RESET), gateway)
    union = gateway.issuer.token(aud=resource_url(gateway.url))
    is_challenged(await call(gateway, union, "/mcp"), gateway, "/mcp")
    assert [head.scopes for head, _ in gateway.heads if head.method == "tools/call"] == [(USE, OPERATE)] * 3


async def test_the_router_is_told_what_the_token_is_for_and_not_what_its_grant_is(gateway: Gateway) -> None:
    for scope in (USE, f"{USE} {OPERATE}"):
        await call(gateway, gateway.issuer.token(scope=scope))
    gateway.issuer.tokens[some_token(5)] = principal("key-5", grants={"acme": ("owner",)}, playbooks=())
    await call(gateway, some_token(5))
    assert [head.scopes for head, _ in gateway.heads] == [(USE, OPERATE), (OPERATE, OPERATE), (READ, READ)]


async def test_who_agreed_to_more_goes_on_in_the_same_session_and_nobody_else_does(gateway: Gateway) -> None:
    before, after = gateway.issuer.token(), gateway.issuer.token(gid="g2", scope=f"{USE} {OPERATE}")
    session = await begun(gateway, before)
    listing = {"method": "tools/list", "params": {}}
    assert (await say(gateway, after, session, **listing)).status_code == 200
    assert gateway.heads[-1][0].principal == "g2"
    gateway.issuer.tokens[some_token(6)] = principal("key-6", member=ANN, client=ANN, grants={"acme": ("owner",)})
    other_client = principal("g1", member=ANN, client=ANN, oauth_client="c2")
    other_member = principal("g1", member="person-2", client="person-2", oauth_client="c1")
    assert (await say(gateway, some_token(6), session, **listing)).status_code == 404, "a token of another kind"
    for number, someone in enumerate((other_client, other_member)):
        gid = f"foreign-{number}"
        gateway.issuer.grants[gid] = msgspec.structs.replace(someone, key_id=gid)
        assert (await say(gateway, gateway.issuer.token(gid=gid), session, **listing)).status_code == 404
    own = await begun(gateway, some_token(6))
    gateway.issuer.tokens[some_token(7)] = principal("key-7", member=ANN, client=ANN, grants={"acme": ("owner",)})
    assert (await say(gateway, some_token(7), own, **listing)).status_code == 404, "another token of the same name"
    assert (await say(gateway, after, own, **listing)).status_code == 404, (
        "nor is the other kind's session an OAuth one"
    )
