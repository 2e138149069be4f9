"""People over the management API: browser sessions, roles, invitations; and what they lose when they are demoted."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from typing import Any

import httpx2

from tests.api.conftest import Api
from tests.api.test_management_api import Filled, problem, publish
from tests.support.stack import Stack
from tests.support.waiting import PATIENCE, eventually, promised

ApiOf = Callable[[str | None], Api]
PASSWORD = "correct horse battery"
COOKIE = "__Host-callboard"


class Browser:
    """A browser session of one person: its cookie, and what our own page knows."""

    def __init__(self, stack: Stack, opened: httpx2.Response) -> None:
        self.url = f"{stack.url}/api/v1"
        self.set_cookie = opened.headers["set-cookie"]
        self.cookie = self.set_cookie.partition(";")[0]
        self.me = opened.json()
        self.person = self.me["person"]["person"]

    async def __call__(self, method: str, path: str, *, csrf: bool = True, **more: Any) -> httpx2.Response:
        headers = {"Cookie": self.cookie, **more.pop("headers", {})}
        if csrf and method != "GET":
            headers["X-CSRF-Token"] = self.me["csrf"]
        async with httpx2.AsyncClient(timeout=30) as http:
            return await http.request(method, self.url + path, headers=headers, **more)


async def join(stack: Stack, admin: Api, organisation: str, role: str, email: str = "") -> Browser:
    """A new person with this role, signed in."""
    email = email or f"{os.urandom(4).hex()}@example.com"
    invited = await admin("POST", f"/organisations/{organisation}/invitations", json={"role": role})
    assert invited.status_code == 201, invited.text
    body = {"token": invited.json()["token"], "email": email, "password": PASSWORD, "name": "N"}
    opened = await Api(stack.url, None)("POST", "/people", json=body)
    assert opened.status_code == 201, opened.text
    return Browser(stack, opened)


async def test_a_person_signs_in_changes_things_and_signs_out(
    installation: Stack, admin: Api, api_of: ApiOf, organisation: str
) -> None:
    joined = await join(installation, admin, organisation, "owner", f"ann@{organisation}.example")
    nobody, at = api_of(None), f"/organisations/{organisation}"
    # The routes of the identity provider answer, though this installation has none.
    problem(await nobody("GET", "/session/external"), 503, "login.unavailable")
    problem(await nobody("GET", "/session/external/callback?state=s&code=c&iss=i"), 503, "login.unavailable")
    signed = {"webhook-id": "m", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"}
    problem(await nobody("POST", "/webhooks/identity", content=b"{}", headers=signed), 401, "auth.invalid")
    problem(await api_of("a.b.c")("GET", "/me"), 401, "auth.invalid")
    credentials = {"email": f"ANN@{organisation}.example", "password": PASSWORD}
    problem(await nobody("POST", "/session", json={**credentials, "password": "wrong"}), 401, "login.refused")
    foreign = {"Origin": "https://evil.example"}
    problem(await nobody("POST", "/session", json=credentials, headers=foreign), 403, "auth.forbidden")

    opened = await nobody("POST", "/session", json=credentials, headers={"Cookie": joined.cookie})
    browser = Browser(installation, opened)

    attributes = {part.strip() for part in browser.set_cookie.split(";")[1:]}
    assert attributes == {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"}
    assert browser.cookie.startswith(f"{COOKIE}=cbl_")
    assert browser.cookie != joined.cookie
    problem(await joined("GET", "/me"), 401, "auth.invalid")
    me = (await browser("GET", "/me")).json()
    assert (me["organisations"], me["person"]["email"]) == ({organisation: ["owner"]}, credentials["email"].lower())
    project = {"project": "shop", "title": "Shop"}
    assert (await browser("POST", f"{at}/projects", json=project)).status_code == 200
    # A page of somebody else has the cookie at most.
    for refused in (
        await browser("POST", f"{at}/projects", json=project, csrf=False),
        await browser("POST", f"{at}/projects", json=project, csrf=False, headers={"X-CSRF-Token": joined.me["csrf"]}),
        await browser("POST", f"{at}/projects", json=project, headers=foreign),
        await browser("POST", f"{at}/projects", json=project, headers={"Sec-Fetch-Site": "cross-site"}),
        await browser("DELETE", "/session", csrf=False),
    ):
        problem(refused, 403, "auth.forbidden")
    listed = (await browser("GET", f"{at}/projects")).json()["projects"]
    assert listed == [{"project": "shop", "title": "Shop", "playbooks": []}]
    assert [line["organisation"] for line in (await browser("GET", "/organisations")).json()["organisations"]] == [
        organisation
    ]
    assert (await browser("DELETE", "/session")).status_code == 200
    problem(await browser("GET", "/me"), 401, "auth.invalid")


async def test_a_demoted_and_a_removed_member_lose_everything_within_two_seconds(
    installation: Stack, admin: Api, api_of: ApiOf, organisation: str, echo_server: dict[str, object]
) -> None:
    await publish(admin, organisation, echo_server)
    at, endpoint = f"/organisations/{organisation}", installation.endpoint(organisation, "start")
    await join(installation, admin, organisation, "owner")
    browser = await join(installation, admin, organisation, "manager")
    issued = await browser("POST", f"{at}/tokens", json={"client": "agent", "scopes": ["manage"]})
    token = issued.json()["token"]
    agent = api_of(token)
    assert (await agent("PUT", f"{at}/secrets/k", json={"value": "v"})).status_code == 200
    assert (await browser("GET", f"{at}/calls")).status_code == 200

    async def follow() -> int:
        async with httpx2.AsyncClient(timeout=30) as http:
            headers = {"Authorization": f"Bearer {token}"}
            async with http.stream("GET", f"{agent._url}{at}/events/tail", headers=headers) as tail:
                async for line in tail.aiter_lines():
                    if line == ": following":
                        following.set()
        return tail.status_code

    following = asyncio.Event()
    tail = asyncio.create_task(follow())
    await asyncio.wait_for(following.wait(), PATIENCE)

    given = await admin("PUT", f"{at}/members/{browser.person}", json={"role": "user", "comment": "moved"})
    assert given.status_code == 200, given.text

    async def demoted() -> bool:
        answers = [
            await agent("PUT", f"{at}/secrets/k", json={"value": "v"}),
            await agent("GET", f"{at}/calls"),
            await browser("GET", f"{at}/calls"),
        ]
        return [answer.status_code for answer in answers] == [403] * 3

    await promised(demoted, within=2)
    assert await asyncio.wait_for(tail, 2) == 200
    assert (await installation.rpc(endpoint, "tools/list", token=token)).status_code == 200

    removed = await admin("DELETE", f"{at}/members/{browser.person}", params={"comment": "left"})
    assert removed.status_code == 200, removed.text

    async def gone() -> bool:
        used = await installation.rpc(endpoint, "tools/list", token=token)
        return [used.status_code, (await agent("GET", "/me")).status_code] == [401, 401]

    await promised(gone, within=2)
    assert (await browser("GET", "/me")).json()["organisations"] == {}
    problem(await browser("GET", f"{at}/playbooks"), 403, "auth.forbidden")


async def test_a_foreign_organisation_and_one_that_does_not_exist_answer_alike(
    installation: Stack, admin: Api, organisation: str
) -> None:
    other = f"{organisation}-other"
    assert (await admin("POST", "/organisations", json={"organisation": other})).status_code == 200
    browser = await join(installation, admin, organisation, "owner")
    async with httpx2.AsyncClient() as http:
        described = (await http.get(f"{installation.url}/docs/openapi.json")).json()
    paths = [path.removeprefix("/api/v1") for path in described["paths"] if "{organisation}" in path]
    bodies: dict[str, dict[str, object]] = {"get": {}, "delete": {}}
    for path in paths:
        for method in set(described["paths"][f"/api/v1{path}"]) & set(bodies):
            answers = []
            for name in (other, f"{organisation}-no-such"):
                given = Filled(organisation=name, key_id="aaaaaaaa", digest="sha256:0", member=browser.person)
                real = path.format_map(given)
                query = {"comment": "c", "before": 1, "after": 2, "client": "c", "tool": "t"}
                answer = await browser(method.upper(), real, params=query)
                answers.append((answer.status_code, answer.text.replace(name, "NAME")))
            assert answers[0] == answers[1], path
            assert answers[0][0] == 403, path


async def test_the_command_line_manages_members_projects_and_keys(
    installation: Stack, admin: Api, organisation: str, echo_server: dict[str, object]
) -> None:
    await join(installation, admin, organisation, "owner")
    bob = await join(installation, admin, organisation, "viewer")
    org = ("--org", organisation)
    invited = await installation.cli_json("member", "invite", "operator", "--email", "x@example.com", *org)
    await installation.cli("member", "role", bob.person, "viewer", "--permission", "drift:decide", "-m", "asked", *org)
    await installation.cli("member", "add-account", "ci", "manager", *org)

    found = await installation.cli_json("member", "ls", *org)

    assert [(line["role"], line["kind"], line["permissions"]) for line in found["members"]] == [
        ("owner", "person", []),
        ("manager", "service", []),
        ("viewer", "person", ["drift:decide"]),
    ]
    assert [line["invitation"] for line in found["invitations"]] == [invited["invitation"]]
    issued = await installation.cli_json("token", "issue", "ci", "--scope", "operate", *org)
    fresh = await installation.cli_json("token", "rotate", issued["key_id"], "--overlap", "0s", *org)
    problem(await Api(installation.url, issued["token"])("GET", "/me"), 401, "auth.invalid")
    me = (await Api(installation.url, fresh["token"])("GET", "/me")).json()
    assert (me["organisations"], me["scopes"]) == ({organisation: ["manager"]}, ["operate"])
    carol = ("login", "x@example.com", "--invitation", invited["token"], "--name", "X", "--json")
    _, out, _ = await installation.cli(*carol, stdin=f"{PASSWORD}\n")
    mine = Api(installation.url, json.loads(out)["token"])
    assert (await mine("GET", "/me")).json()["organisations"] == {organisation: ["operator"]}
    assert (await mine("GET", f"/organisations/{organisation}/playbooks")).status_code == 200
    problem(await mine("POST", f"/organisations/{organisation}/apply", json={}), 403, "auth.forbidden")
    code, out, told = await installation.cli("login", "x@example.com", stdin="wrong password\n", ok=False)
    assert (code, out) == (1, "")
    assert "password is wrong" in told
    await installation.cli("project", "create", "shop", "--title", "Shop", *org)
    await installation.cli("project", "assign", f"{organisation}/start", "shop")
    _, out, _ = await installation.cli("project", "ls", *org)
    assert "start" in out
    code, _, told = await installation.cli("member", "rm", "nobody", *org, ok=False)
    assert code != 0
    assert "no member" in told


async def test_a_plan_limits_what_an_organisation_has_and_calls(
    installation: Stack, admin: Api, api_of: ApiOf, organisation: str, echo_server: dict[str, object]
) -> None:
    at, endpoint = f"/organisations/{organisation}", installation.endpoint(organisation, "start")
    await publish(admin, organisation, echo_server, start={"servers": {"echo": {}}})
    token = await installation.token(organisation, "agent")
    problem(await api_of(token)("PUT", f"{at}/plan", json={"plan": "unlimited"}), 403, "auth.forbidden")
    problem(await admin("PUT", f"{at}/plan", json={"plan": "golden"}), 400, "argument.invalid")
    words = ("org", "plan", organisation, "free", "--servers", "1", "--playbooks", "1", "--calls-per-day", "2")
    await installation.cli(*words, "-m", "trial")

    more = {"servers": {"echo": echo_server, "second": echo_server}, "playbooks": {}, "comment": "more"}
    for dry in (True, False):
        refused = await admin("POST", f"{at}/apply", json={**more, "dry_run": dry})
        assert problem(refused, 429, "quota.exceeded")["limit"] == 1

    async def limited() -> bool:
        # The router that takes calls follows the log.
        return (await admin("GET", at)).json()["plan"] == "free"

    await eventually(limited)
    call = {"name": "echo__echo", "arguments": {"text": "x"}}
    answers = [(await installation.rpc(endpoint, "tools/call", call, token)).json() for _ in range(3)]
    assert ["result" in answer for answer in answers] == [True, True, False], answers
    assert answers[2]["error"]["data"]["code"] == "quota.exceeded"
    shown = await installation.cli_json("org", "show", organisation)
    assert (shown["servers"], shown["playbooks"], shown["calls_today"]) == (1, 1, 2)
    assert shown["quotas"] == {"playbooks": 1, "servers": 1, "calls_per_day": 2}
    await installation.cli("org", "plan", organisation, "unlimited")

    async def unlimited() -> bool:
        return "result" in (await installation.rpc(endpoint, "tools/call", call, token)).json()

    await eventually(unlimited)
