"""A server that wants OAuth: an operator connects it, callers sign in by links, each with an account of their own."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from mcp import types

from tests.support.guarded import Guarded, guarded
from tests.support.loopback import loopback
from tests.support.names import fresh
from tests.support.oauth_clients import Kept, connected, decided, provider_of
from tests.support.persons import Form, Person, Visitor, member
from tests.support.stack import META, Stack
from tests.support.waiting import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

LINKS = {**META, "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"url": {}}}}


class Browser(Visitor):
    """The browser of one person, who is not signed in to Callboard before a page asks for it."""

    def __init__(self, person: Person) -> None:
        super().__init__()
        self.person = person
        self.known = False

    async def agree(self, link: str) -> str:
        """Press the button on the page of a link; the URL that the authorization server sends the browser back to."""
        page = await self.get(link)
        if not self.known:
            assert page.status_code == 303, page.text
            page = await self.log_in(page, self.person)
            self.known = True
        assert page.status_code == 200, page.text
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
        sent_on = await self.submit(page)
        assert sent_on.status_code == 303, sent_on.text
        return str((await self.get(sent_on.headers["location"])).headers["location"])

    async def sign_in(self, link: str) -> None:
        done = await self.get(await self.agree(link))
        assert (done.status_code, "Connected" in done.text) == (200, True), done.text


async def wiki_of(stack: Stack, server: Guarded, **oauth: Any) -> str:
    """An organisation whose playbook `p` has this server, and nothing else."""
    organisation = fresh("org")
    body = {
        "version": 1,
        "organisation": organisation,
        "servers": {"wiki": {"url": server.url, "oauth": oauth}},
        "playbooks": {"p": {"servers": {"wiki": {"names": "bare"}}}},
    }
    await stack.apply(json.dumps(body))
    return organisation


async def sign_ins(stack: Stack, organisation: str, method: str, token: str, **body: Any) -> Any:
    path = f"{stack.url}/api/v1/organisations/{organisation}/servers/wiki/sign-ins"
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=30) as http:
        answer = await http.request(method, path, **({"json": body} if method == "POST" else {"params": body}))
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


async def listed(stack: Stack, organisation: str, token: str) -> None:
    """The tools of the server are there."""

    async def shown() -> bool:
        answer = await stack.rpc(stack.endpoint(organisation, "p"), "tools/list", token=token)
        return [tool["name"] for tool in answer.json()["result"]["tools"]] == ["whoami"]

    await eventually(shown)


async def call(stack: Stack, organisation: str, token: str, edge: int = 0, **params: Any) -> dict[str, Any]:
    answer = await stack.rpc(
        stack.endpoint(organisation, "p", edge), "tools/call", {"name": "whoami", "arguments": {}, **params}, token
    )
    said: dict[str, Any] = answer.json()
    return said


def text_of(said: dict[str, Any]) -> str:
    return str(said["result"]["content"][0]["text"])


async def test_callers_sign_in_by_links_and_nobody_calls_with_anothers_account(stack: Stack) -> None:
    async with guarded() as server:
        organisation = await wiki_of(stack, server)
        carol, alice = await member(stack, organisation, "manager"), await member(stack, organisation)
        alices_token, bobs_token = await alice.token(stack, organisation), await stack.token(organisation, "bob")
        async with Browser(carol) as operator, Browser(alice) as alices:
            _, link, _ = await stack.cli("server", "connect", f"{organisation}/wiki")
            await operator.sign_in(link.strip())
            await listed(stack, organisation, alices_token)

            asked = (await call(stack, organisation, alices_token, _meta=LINKS))["result"]
            assert asked["resultType"] == "input_required"
            (key, question), *_ = asked["inputRequests"].items()
            # At any edge: the browser comes back to another one than it began at.
            back = await alices.agree(question["params"]["url"])
            assert (await alices.get(back.replace(stack.urls[0], stack.urls[-1]))).status_code == 200
        answers = {key: {"action": "accept"}}
        hers = text_of(await call(stack, organisation, alices_token, -1, _meta=LINKS, inputResponses=answers))
        assert hers in server.access

        refused = (await call(stack, organisation, bobs_token))["error"]
        assert refused["data"]["code"] == "server.sign_in_needed"
        assert refused["data"]["url"] in refused["message"]
        link = refused["data"]["url"]
        async with Browser(carol) as manages, Browser(alice) as uses:
            assert (await uses.log_in(await uses.get(link), alice)).status_code == 403, "`bob` is no person"
            assert "only for calls of bob" in (await manages.log_in(await manages.get(link), carol)).text
        assert set(server.bearers) == {hers}, "neither the operator's account nor hers was used for bob"
        found = (await sign_ins(stack, organisation, "GET", stack.admin_token))["grants"]
        assert [(each["subject"], each["state"]) for each in found] == [("", "connected"), (alice.id, "connected")]
        secret = {*server.access, *server.refresh, *server.handed_out, question["params"]["url"].rpartition("/")[2]}
        logs = "".join(path.read_text(errors="replace") for path in (stack.directory / "logs").glob("*.log"))
        assert "upstream_connected" in logs
        assert not [each for each in secret if each in logs]


async def test_an_official_client_gets_in_and_its_person_follows_the_link_that_a_call_leads_to(stack: Stack) -> None:
    async with guarded() as server, loopback() as waiting:
        organisation = await wiki_of(stack, server)
        carol, alice = await member(stack, organisation, "manager"), await member(stack, organisation)
        async with Browser(carol) as operator:
            await operator.sign_in((await sign_ins(stack, organisation, "POST", stack.admin_token))["url"])
        await listed(stack, organisation, await alice.token(stack, organisation))
        async with Browser(alice) as hers:

            async def open_url(link: str) -> None:
                waiting.take(await decided(hers, alice, link))
                hers.known = True

            async def elicited(_context: Any, asked: Any) -> types.ElicitResult:
                await hers.sign_in(asked.url)
                return types.ElicitResult(action="accept")

            url = stack.endpoint(organisation, "p")
            provider = provider_of(url, waiting, Kept(), open_url)
            async with connected(url, provider, elicitation_callback=elicited) as client:
                said = await client.call_tool("whoami", {})
        assert said.content[0].text in server.access  # type: ignore[union-attr]
        found = (await sign_ins(stack, organisation, "GET", stack.admin_token))["grants"]
        assert [each["subject"] for each in found] == ["", alice.id]


async def test_a_link_is_followed_by_its_person_alone_and_finished_by_the_browser_that_agreed(stack: Stack) -> None:
    async with guarded() as server:
        organisation = await wiki_of(stack, server)
        alice, bob = await member(stack, organisation), await member(stack, organisation, "owner", "bob")
        token = await alice.token(stack, organisation)
        link = (await sign_ins(stack, organisation, "POST", token, own=True))["url"]
        async with Browser(alice) as alices, Browser(bob) as bobs, Browser(alice) as elsewhere:
            shown = await bobs.log_in(await bobs.get(link), bob)
            assert (shown.status_code, "not for you" in shown.text) == (403, True)
            page = await alices.log_in(await alices.get(link), alice)
            alices.known = True
            hers = Form(page.text).fields
            for fields in (hers, {"proof": ""}):
                forged = await bobs.post(link, data=fields, headers=bobs.from_own_page(link))
                assert forged.status_code == 403
            foreign = [{"Origin": "https://evil.example"}, {"Origin": "null"}, {}]
            cross = {**alices.from_own_page(link), "Sec-Fetch-Site": "cross-site"}
            for headers in [*foreign, cross]:
                assert (await alices.post(link, data=hers, headers=headers)).status_code == 403
            assert server.counts["/authorize"] == server.counts["/register"] == 0

            back = await alices.agree(link)
            assert (await bobs.get(back)).status_code == 404
            back = await alices.agree((await sign_ins(stack, organisation, "POST", token, own=True))["url"])
            await elsewhere.log_in(await elsewhere.get(link), alice)
            assert (await elsewhere.get(back)).status_code == 404, "herself, in another browser"
            assert (await alices.get(back)).status_code == 404, "the state was used up"
            assert (await sign_ins(stack, organisation, "GET", stack.admin_token))["grants"] == []
            assert server.counts["/token"] == 0
            for path in ("/connect/x", "/oauth/callback?state=x&code=x", "/oauth/callback?error=%3Cscript%3E"):
                page = await alices.get(stack.url + path)
                assert (page.status_code, "<script>" in page.text) == (404, False)
            document = (await alices.get(f"{stack.url}/oauth/client-metadata.json")).json()
        assert (document["client_id"], document["token_endpoint_auth_method"]) == (
            f"{stack.url}/oauth/client-metadata.json",
            "none",
        )
        assert document["redirect_uris"] == [f"{stack.url}/oauth/callback"]


async def test_one_sign_in_serves_all_where_the_definition_says_so_and_is_renewed_and_ended(stack: Stack) -> None:
    async with guarded() as server:
        organisation = await wiki_of(stack, server, credentials="shared")
        carol, dave = await member(stack, organisation, "manager"), await member(stack, organisation, "operator")
        alice, bob = await stack.token(organisation, "alice"), await stack.token(organisation, "bob")
        link = (await sign_ins(stack, organisation, "POST", stack.admin_token))["url"]
        async with Browser(carol) as manager, Browser(dave) as operator:
            refused = await operator.log_in(await operator.get(link), dave)
            assert refused.status_code == 403, "what all share is connected by who manages the organisation"
            await manager.sign_in(link)
        await listed(stack, organisation, alice)
        assert text_of(await call(stack, organisation, alice)) == text_of(await call(stack, organisation, bob))

        server.forget_access()
        assert text_of(await call(stack, organisation, bob)) in server.access, "renewed within the call"

        await sign_ins(stack, organisation, "DELETE", stack.admin_token, subject="")
        assert server.counts["/revoke"] == 1

        async def ended() -> bool:
            said = await call(stack, organisation, alice)
            return said.get("error", {}).get("data", {}).get("code") == "server.sign_in_needed"

        await eventually(ended)
