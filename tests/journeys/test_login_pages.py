"""Signing in to Callboard on its pages: over HTTP as a browser without scripts does, and in a real browser."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.support.chromium import chromium, needs_chromium
from tests.support.guarded import guarded
from tests.support.names import fresh
from tests.support.persons import PASSWORD, Form, Person, Visitor, member
from tests.support.stack import Stack

pytestmark = [pytest.mark.asyncio(loop_scope="session")]
COOKIE = "__Host-callboard"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as running:
        yield running


async def organisation_of(stack: Stack) -> str:
    name = fresh("org")
    await stack.apply(f"version: 1\norganisation: {name}\nplaybooks: {{}}\n")
    return name


def planted_cookie(stack: Stack, value: str) -> Any:
    """The cookie of a session as one puts it into somebody else's browser."""
    return {"name": COOKIE, "value": value, "url": stack.url.replace("http:", "https:"), "secure": True}


async def whose(stack: Stack, cookie: str) -> str:
    """The e-mail address behind the value of a session's cookie; empty when it is not good."""
    async with httpx2.AsyncClient() as http:
        me = await http.get(f"{stack.url}/api/v1/me", headers={"Cookie": f"{COOKIE}={cookie}"})
    return str(me.json()["person"]["email"]) if me.status_code == 200 else ""


async def test_the_form_is_taken_from_its_own_page_alone_and_leads_nowhere_else(stack: Stack) -> None:
    ann = await member(stack, await organisation_of(stack))
    async with Visitor() as visitor, Visitor() as other:
        page = await visitor.get(f"{stack.url}/login?next={quote('https://evil.example/')}")
        assert page.headers["cache-control"] == "no-store"
        assert "script-src" not in (policy := page.headers["content-security-policy"])
        assert "default-src 'none'" in policy
        assert "'unsafe-inline'" not in policy
        assert "Single sign-on" not in page.text, "there is no identity provider"
        url, fields = f"{stack.url}/login", {**Form(page.text).fields, "email": ann.email, "password": PASSWORD}
        own = visitor.from_own_page(url)
        forged = [{}, {"Origin": "https://evil.example"}, {**own, "Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}]
        answers = [await visitor.post(url, data=fields, headers=headers) for headers in forged]
        # Without the cookie of the page, and with that of another browser.
        answers += [await other.post(url, data=fields, headers=own)]
        answers += [await other.post(url, data=fields, headers=own)]
        assert [answer.status_code for answer in answers] == [403] * 6
        assert not [answer for answer in answers if COOKIE + "=" in answer.headers.get("set-cookie", "")]

        wrong = await visitor.submit(page, email=ann.email, password="wrong <script>")
        unknown = await visitor.submit(page, email="nobody@example.com", password="wrong")
        assert (wrong.status_code, unknown.status_code) == (401, 401)
        assert "is wrong" in wrong.text
        assert "<script>" not in wrong.text
        assert wrong.text.replace(ann.email, "X") == unknown.text.replace("nobody@example.com", "X")

        done = await visitor.submit(page, email=ann.email, password=PASSWORD)
        assert (done.status_code, done.headers["location"]) == (303, "/login")
        shown = await visitor.get(url)
        assert f"signed in as <strong>{ann.email}" in shown.text
        session = visitor.cookies[COOKIE]
        for forged_proof in ({}, {"proof": "0" * 64}):
            assert (await visitor.post(f"{stack.url}/logout", data=forged_proof, headers=own)).status_code == 403
        assert await whose(stack, session) == ann.email
        assert "signed out" in (await visitor.submit(shown, "/logout")).text
        assert await whose(stack, session) == ""


async def test_an_invitation_is_used_on_its_page_by_a_new_person_and_by_one_who_is_signed_in(stack: Stack) -> None:
    organisation = await organisation_of(stack)
    await stack.apply(f"version: 1\norganisation: {organisation}-too\nplaybooks: {{}}\n")
    first = await stack.cli_json("member", "invite", "viewer", "--org", organisation)
    second = await stack.cli_json("member", "invite", "operator", "--org", f"{organisation}-too")
    async with Visitor() as visitor, Visitor() as other:
        page = await visitor.get(f"{stack.url}/join", params={"invitation": first["token"]})
        new = {"email": f"eve@{organisation}.example", "name": "<b>Eve</b>"}
        short = await visitor.submit(page, "/join", **new, password="too short")
        assert (short.status_code, "<b>Eve" in short.text, "at least 12" in short.text) == (400, False, True)
        fields = {**Form(page.text).fields, **new, "password": PASSWORD}
        for headers in ({}, {"Origin": "https://evil.example"}):
            assert (await visitor.post(f"{stack.url}/join", data=fields, headers=headers)).status_code == 403
        own = visitor.from_own_page(f"{stack.url}/join")
        assert (await other.post(f"{stack.url}/join", data=fields, headers=own)).status_code == 403
        joined = await visitor.submit(page, "/join", **new, password=PASSWORD)
        assert (joined.status_code, joined.headers["location"]) == (303, "/login")
        assert await whose(stack, visitor.cookies[COOKIE]) == new["email"]

        page = await visitor.get(f"{stack.url}/join", params={"invitation": second["token"]})
        welcome = await visitor.submit(page, "/join")
        assert "operator" in welcome.text
        used = await other.submit(
            await other.get(f"{stack.url}/join", params={"invitation": first["token"]}),
            "/join",
            email="x@example.com",
            password=PASSWORD,
        )
        assert used.status_code == 404


async def test_who_guesses_is_told_when_to_try_again(stack: Stack) -> None:
    ann = await member(stack, await organisation_of(stack))
    async with Visitor() as visitor:
        page = await visitor.get(f"{stack.url}/login")
        for _ in range(20):
            answer = await visitor.submit(page, email=ann.email, password="wrong")
            if answer.status_code != 401:
                break
        assert answer.status_code == 429, answer.text
        assert f"Try again in {answer.headers['retry-after']} s." in answer.text
        assert (await visitor.submit(page, email=ann.email, password=PASSWORD)).status_code == 429


@needs_chromium
async def test_a_browser_signs_in_and_adopts_no_session_that_somebody_planted(stack: Stack, browser: Browser) -> None:
    organisation = await organisation_of(stack)
    ann, mallory = await member(stack, organisation), await member(stack, organisation, "user", "mallory")
    planted = mallory.cookie.partition("=")[2]
    context = await browser.new_context(java_script_enabled=False)
    await context.add_cookies([planted_cookie(stack, planted)])
    page = await context.new_page()
    await page.goto(f"{stack.url}/login")
    await page.get_by_role("button", name="Sign out").click()
    await page.goto(f"{stack.url}/login")
    await context.add_cookies([planted_cookie(stack, f"{planted}x")])
    await page.get_by_label("E-mail address").fill(ann.email)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_text(f"signed in as {ann.email}")).to_be_visible()
    session = next(each for each in await context.cookies() if each.get("name") == COOKIE)
    assert session.get("value") not in (planted, f"{planted}x")
    assert (session.get("httpOnly"), session.get("secure"), session.get("sameSite")) == (True, True, "Lax")
    assert await whose(stack, session.get("value", "")) == ann.email
    assert await whose(stack, planted) == "", "the session that the browser had has ended"
    await context.close()


@needs_chromium
async def test_alices_link_connects_in_her_browser_and_not_in_bobs(stack: Stack, browser: Browser) -> None:
    async with guarded() as server:
        organisation = fresh("org")
        await stack.apply(
            f"version: 1\norganisation: {organisation}\nservers: {{wiki: {{url: '{server.url}', oauth: {{}}}}}}\n"
            "playbooks: {p: {servers: {wiki: {}}}}\n"
        )
        alice, bob = await member(stack, organisation), await member(stack, organisation, "owner", "bob")
        headers = {"Authorization": f"Bearer {await alice.token(stack, organisation)}"}
        sign_ins = f"{stack.url}/api/v1/organisations/{organisation}/servers/wiki/sign-ins"
        async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
            link = (await http.post(sign_ins, json={"own": True})).json()["url"]
        bobs, alices = await browser.new_context(), await browser.new_context()

        async def opened_by(person: Person) -> None:
            page = bobs.pages[0] if person is bob else alices.pages[0]
            await page.goto(link)
            await page.get_by_label("E-mail address").fill(person.email)
            await page.get_by_label("Password").fill(PASSWORD)
            await page.get_by_role("button", name="Sign in").click()

        await bobs.new_page()
        await opened_by(bob)
        await expect(bobs.pages[0].get_by_role("heading")).to_have_text("This link is not for you")
        assert server.counts["/authorize"] == 0
        await alices.new_page()
        await opened_by(alice)
        await alices.pages[0].get_by_role("button", name="Go on and sign in").click()
        await expect(alices.pages[0].get_by_role("heading")).to_have_text("Connected")
        async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {stack.admin_token}"}) as http:
            grants = (await http.get(sign_ins)).json()["grants"]
        assert [grant["subject"] for grant in grants] == [alice.id]
        await bobs.close()
        await alices.close()
