"""T24 from the outside: an operator reads who came in and who was refused, in their own organisation only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from tests.api.conftest import Api
from tests.api.test_people_api import join
from tests.authsvc.stack import some_token
from tests.support.names import fresh
from tests.support.stack import Stack
from tests.support.waiting import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

REFUSED = "authentication.refused"


async def told(api: Api, path: str, kind: str, **query: Any) -> list[Any]:
    answer = await api("GET", f"{path}/events", params={"kind": kind, **query})
    assert answer.status_code == 200, answer.text
    return [event["event"] for event in answer.json()["events"]]


async def lines(api: Api, path: str) -> set[tuple[str, str, str]]:
    events = await told(api, path, REFUSED, newest=True, limit=1000)
    return {(line["door"], line["reason"], line.get("account", "")) for event in events for line in event["lines"]}


async def test_an_operator_sees_who_signed_in_and_who_was_refused(
    installation: Stack, admin: Api, organisation: str, api_of: Callable[[str | None], Api]
) -> None:
    other = fresh("other")
    assert (await admin("POST", "/organisations", json={"organisation": other})).status_code < 300
    email = f"{fresh('ann')}@example.com"
    ann = await join(installation, admin, organisation, "owner", email)
    issued = (await admin("POST", f"/organisations/{organisation}/tokens", json={"client": "gone"})).json()
    assert (await admin("DELETE", f"/organisations/{organisation}/tokens/{issued['key_id']}")).status_code == 200

    bad, at = some_token(7), f"/organisations/{organisation}"
    async with httpx2.AsyncClient(timeout=30) as http:
        wrong = {"email": email, "password": "not the password"}
        assert (await http.post(f"{installation.url}/api/v1/session", json=wrong)).status_code == 401
    assert (await api_of(bad)("GET", f"{at}/events")).status_code == 401
    for token in (bad, issued["token"]):
        answer = await installation.rpc(installation.endpoint(organisation, "start"), "tools/list", token=token)
        assert answer.status_code == 401

    wanted = {
        ("login", "login.refused", ann.person),
        ("api", "auth.invalid", ""),
        ("mcp", "auth.invalid", ""),
        ("mcp", "token.revoked", issued["key_id"]),
    }

    async def all_of_it() -> bool:
        return await lines(admin, at) == wanted

    await eventually(all_of_it, within=15)
    [event] = await told(admin, at, "person.signed_in")
    assert (event["person"], event["means"]) == (ann.person, "invitation")
    assert await told(admin, f"/organisations/{other}", "*.refused") == []
    assert await told(admin, f"/organisations/{other}", "person.*") == []
    # The installation's own log is its administrators'.
    assert (await api_of(None)("GET", "/system/events")).status_code == 401
    own = await admin("POST", f"{at}/tokens", json={"client": "c", "scopes": ["own"]})
    assert (await api_of(own.json()["token"])("GET", "/system/events")).status_code == 403
    assert (await admin("GET", "/organisations/_system/events")).status_code == 404
    assert await told(admin, "/system", "signing_key.*")
    unknown = await admin("GET", f"{at}/events", params={"kind": "never.*"})
    assert (unknown.status_code, unknown.json()["code"]) == (400, "argument.invalid")


async def test_the_command_line_shows_them_too(installation: Stack, admin: Api, organisation: str) -> None:
    for number in range(3):
        answer = await admin("POST", f"/organisations/{organisation}/tokens", json={"client": f"c{number}"})
        assert answer.status_code == 201
    words = ("events", "ls", "--org", organisation)
    issued = await installation.cli_json(*words, "--kind", "client.*", "--newest", "--limit", "2")
    assert [event["event"]["client"] for event in issued["events"]] == ["c1", "c2"]
    assert issued["more"] is True
    system = await installation.cli_json("events", "ls", "--system", "--kind", "signing_key.published")
    assert {event["event"]["type"] for event in system["events"]} == {"signing_key.published"}
