"""Real clients come in by OAuth: they find the authorization server and register, a person agrees, and they call."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
import pytest_asyncio
from mcp.client.auth import OAuthClientProvider
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.support.agents import one_server, published
from tests.support.chromium import chromium, needs_chromium
from tests.support.loopback import Loopback, loopback
from tests.support.names import fresh
from tests.support.oauth_clients import Kept, connected, decided, provider_of, typescript
from tests.support.persons import PASSWORD, Form, Person, Visitor, member
from tests.support.shared import Shared
from tests.support.stack import Stack
from tests.support.upstreams.launch import running
from tests.support.waiting import PATIENCE, eventually

pytestmark = [pytest.mark.asyncio(loop_scope="session")]
EVIL = "<script>document.title='x'</script>"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as running_browser:
        yield running_browser


@pytest_asyncio.fixture(loop_scope="session")
async def place(stack: Stack, shared: Shared) -> tuple[str, Person]:
    """The URL of a protected playbook, and a person who may use it."""

    async def make() -> tuple[str, Person]:
        upstream = await shared.leaving.enter_async_context(running("echo"))
        organisation, _ = await published(stack, one_server({"url": upstream.url}))
        return stack.endpoint(organisation, "p"), await member(stack, organisation)

    return await shared.of((stack.url, "protected"), make)


async def sign_in(page: Page, person: Person) -> None:
    await page.get_by_label("E-mail address").fill(person.email)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_official_python_client_gets_in_calls_and_refreshes(place: tuple[str, Person], mode: str) -> None:
    url, ann = place
    kept = Kept()
    async with loopback() as waiting, Visitor() as visitor:

        async def open_url(link: str) -> None:
            waiting.take(await decided(visitor, ann, link))

        provider = provider_of(url, waiting, kept, open_url)
        async with connected(url, provider, mode) as client:
            said = await client.call_tool("echo", {"text": "hello"})
            assert said.content[0].text == "hello"  # type: ignore[union-attr]
            first = kept.tokens
            assert first is not None
            provider.context.token_expiry_time = time.time() - 1
            said = await client.call_tool("echo", {"text": "again"})
            assert said.content[0].text == "again"  # type: ignore[union-attr]
        assert kept.tokens is not None
        assert kept.tokens.access_token != first.access_token
        assert kept.tokens.refresh_token != first.refresh_token
        other = url.replace("/p/mcp", "/q/mcp")
        async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {kept.tokens.access_token}"}) as http:
            assert (await http.post(other, json={})).status_code == 401, "it is good for this playbook alone"


@pytest.mark.parametrize("package", ["sdk", "client"])
async def test_the_official_typescript_client_gets_in_calls_and_refreshes(
    stack: Stack, place: tuple[str, Person], package: str
) -> None:
    url, ann = place
    async with typescript(package, url) as client, Visitor() as visitor:
        back = await decided(visitor, ann, (await client.said())["open"])
        async with httpx2.AsyncClient() as http:
            await http.get(back)
        said = await client.said()
    assert "echo" in said["tools"]
    assert said["texts"] == ["with the first token", "with a fresh token"]
    assert said["refreshed"] is True
    assert said["issuer"] == stack.url


WANTS_MORE = "Change drafts, roll back and decide about changed tools as you may"


async def operator(stack: Stack, url: str, role: str = "operator") -> Person:
    """One more person there, for whom a policy wants more than ordinary use for `echo`."""
    organisation = urlsplit(url).path.split("/")[2]
    person = await member(stack, organisation, role, "oona")
    definition = {"for": {"members": [person.id]}, "step_up": [{"tools": ["up/echo"], "scope": "mcp:operate"}]}
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {stack.admin_token}"}, timeout=30) as http:
        policy = f"{stack.url}/api/v1/organisations/{organisation}/policies/{fresh('careful')}"
        answer = await http.put(policy, json={"definition": definition, "comment": "echoes are loud"})
    assert answer.status_code == 200, answer.text
    return person


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_official_python_client_gets_more_scopes_when_a_tool_wants_them(
    stack: Stack, place: tuple[str, Person], mode: str
) -> None:
    url, _ = place
    oona, kept, asked = await operator(stack, url), Kept(), list[set[str]]()
    async with loopback() as waiting, Visitor() as visitor:

        async def open_url(link: str) -> None:
            asked.append(set(parse_qs(urlsplit(link).query)["scope"][0].split()) - {"offline_access"})
            waiting.take(await decided(visitor, oona, link, reading=WANTS_MORE if len(asked) > 1 else ""))

        provider = provider_of(url, waiting, kept, open_url)
        async with connected(url, provider, mode) as client:
            assert "echo" in [tool.name for tool in (await client.list_tools()).tools]
            assert asked == [{"mcp:use"}]
            said = await client.call_tool("echo", {"text": "hello"})
            assert said.content[0].text == "hello"  # type: ignore[union-attr]
            assert asked == [{"mcp:use"}, {"mcp:use", "mcp:operate"}]
            provider.context.token_expiry_time = time.time() - 1
            said = await client.call_tool("echo", {"text": "refreshed"})
            assert said.content[0].text == "refreshed"  # type: ignore[union-attr]
    assert len(asked) == 2, "a refreshed token has the scopes that were agreed to"
    assert kept.tokens is not None
    assert set((kept.tokens.scope or "").split()) == {"mcp:use", "mcp:operate"}


async def test_whose_role_does_not_allow_it_is_not_sent_for_more_but_told_whom_to_ask(
    stack: Stack, place: tuple[str, Person]
) -> None:
    url, _ = place
    una, asked = await operator(stack, url, "user"), list[str]()
    async with loopback() as waiting, Visitor() as visitor:

        async def open_url(link: str) -> None:
            asked.append(link)
            waiting.take(await decided(visitor, una, link))

        async with connected(url, provider_of(url, waiting, Kept(), open_url)) as client:
            said = await client.call_tool("echo", {"text": "hello"})
    assert said.is_error
    assert "Ask whoever manages the members" in said.content[0].text  # type: ignore[union-attr]
    assert len(asked) == 1


async def test_the_official_typescript_client_gets_more_scopes_when_a_tool_wants_them(
    stack: Stack, place: tuple[str, Person]
) -> None:
    url, _ = place
    oona = await operator(stack, url)
    async with typescript("client", url, "step-up") as client, Visitor() as visitor, httpx2.AsyncClient() as http:
        for reading in ("", WANTS_MORE):
            await http.get(await decided(visitor, oona, (await client.said())["open"], reading=reading))
        said = await client.said()
    assert said["text"] == "with more scopes"
    assert (said["before"], set(said["after"].split())) == ("mcp:use", {"mcp:use", "mcp:operate"})


@needs_chromium
async def test_in_a_browser_a_person_signs_in_and_lets_a_waiting_client_in(
    place: tuple[str, Person], browser: Browser
) -> None:
    url, ann = place
    kept = Kept()
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()

    async with loopback() as waiting:

        async def open_url(link: str) -> None:
            await page.goto(link)
            await sign_in(page, ann)
            await expect(page.get_by_role("heading", level=1)).to_contain_text("A client <b>in</b> the browser test")
            assert not waiting.heard
            await page.get_by_role("button", name="Allow").click()
            await expect(page.get_by_role("heading")).to_have_text("Back in the client")

        provider = provider_of(url, waiting, kept, open_url, "A client <b>in</b> the browser test")
        async with connected(url, provider) as client:
            said = await client.call_tool("echo", {"text": "hello"})
        assert said.content[0].text == "hello"  # type: ignore[union-attr]
    await context.close()


@needs_chromium
async def test_another_client_with_the_persons_session_has_to_ask_again_and_is_denied(
    stack: Stack, place: tuple[str, Person], browser: Browser
) -> None:
    url, ann = place
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(f"{stack.url}/login")
    await sign_in(page, ann)
    async with loopback() as waiting:

        async def allow(link: str) -> None:
            await page.goto(link)
            assert await page.evaluate("getComputedStyle(document.querySelector('main')).maxWidth") == "432px", "styled"
            await page.get_by_role("button", name="Allow").click()
            await expect(page.get_by_role("heading")).to_have_text("Back in the client")

        async def deny(link: str) -> None:
            await page.goto(link)
            assert await page.title() == f"Let {EVIL} in? - Callboard"
            await forge(context, waiting, page.url)
            assert not waiting.heard, "nothing went to the client before the person was asked"
            await page.get_by_role("button", name="Deny").click()
            await expect(page.get_by_role("heading")).to_have_text("Back in the client")

        kept = Kept()
        async with connected(url, provider_of(url, waiting, kept, allow)):
            pass
        evil = Kept()
        told = await denied(url, provider_of(url, waiting, evil, deny, EVIL))
        assert "access_denied" in told
        assert evil.tokens is None
        # The very client that was let in is asked about again, too.
        again = Kept()
        again.client = kept.client
        async with connected(url, provider_of(url, waiting, again, allow)):
            pass
        assert again.tokens is not None
    await context.close()


async def test_a_request_of_another_browser_or_session_is_not_answered(stack: Stack, place: tuple[str, Person]) -> None:
    url, ann = place
    async with loopback() as waiting, Visitor() as mallorys, Visitor() as hers:
        opened: asyncio.Queue[str] = asyncio.Queue()
        provider = provider_of(url, waiting, Kept(), opened.put)

        async def connect() -> None:
            async with connected(url, provider):
                pass

        task = asyncio.create_task(connect())
        link = await asyncio.wait_for(opened.get(), PATIENCE)
        begun = await mallorys.get(link)
        question = f"{stack.url}{urlsplit(begun.headers['location']).path}"
        await hers.log_in(await hers.get(f"{stack.url}/login"), ann)
        assert (await hers.get(question)).status_code == 404, "it was begun in another browser"

        mine = await hers.get(link)
        asked = f"{stack.url}{urlsplit(mine.headers['location']).path}"
        page = await hers.get(asked)
        fields = {**Form(page.text).fields, "decision": "allow"}
        own = hers.from_own_page(asked)
        for headers in ({}, {"Origin": "https://evil.example"}, {**own, "Sec-Fetch-Site": "cross-site"}):
            assert (await hers.post(asked, data=fields, headers=headers)).status_code == 403
        assert (await hers.post(asked, data={"decision": "allow"}, headers=own)).status_code == 403
        denied = parse_qs(urlsplit(str((await hers.submit(page, decision="deny")).headers["location"])).query)
        assert denied["error"] == ["access_denied"]
        assert denied["iss"] == [stack.url]
        assert denied["state"] == parse_qs(urlsplit(link).query)["state"]
        assert (await hers.get(asked)).status_code == 404, "it was decided"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def forge(context: BrowserContext, waiting: Loopback, question: str) -> None:
    """A page of another site, in the person's browser, answers the question, and then shows it in a frame."""
    evil = await context.new_page()
    await evil.goto(waiting.redirect_uri.replace("127.0.0.1", "localhost").replace("callback", ""))
    fields = '<input name="decision" value="allow"><button>Win a prize</button>'
    await evil.set_content(f'<form method="post" action="{question}">{fields}</form>')
    async with evil.expect_navigation() as navigated:
        await evil.get_by_role("button").click()
    answer = await navigated.value
    assert answer is not None
    assert answer.status == 403
    await evil.go_back()
    await evil.set_content(f'<iframe src="{question}"></iframe>')
    await eventually(lambda: evil.frames[-1].url.startswith("chrome-error:"))
    await evil.close()


async def denied(url: str, provider: OAuthClientProvider) -> str:
    """What a client that does not get in is told."""
    try:
        async with connected(url, provider):
            return ""
    except Exception as error:
        return "".join(traceback.format_exception(error))
