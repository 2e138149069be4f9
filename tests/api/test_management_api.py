from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from tests.api.conftest import Api
from tests.support.stack import Stack
from tests.support.waiting import PATIENCE

ApiOf = Callable[[str | None], Api]


def problem(response: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["code"] == code
    assert body["status"] == status
    assert body["type"] == f"urn:callboard:problem:{code}"
    assert body["detail"]
    assert body["hint"]
    return body


class Filled(dict[str, object]):
    """What stands for the parameters of a path; 1 where nothing is said, which is a number and a name."""

    def __missing__(self, name: str) -> object:
        return 1


async def token_of(admin: Api, organisation: str, **wanted: object) -> str:
    issued = await admin("POST", f"/organisations/{organisation}/tokens", json={"client": "c", **wanted})
    assert issued.status_code == 201, issued.text
    return str(issued.json()["token"])


async def publish(admin: Api, organisation: str, server: dict[str, object], **playbooks: object) -> httpx2.Response:
    body = {
        "servers": {"echo": server},
        "playbooks": playbooks or {"start": {"servers": {"echo": {}}}, "other": {"servers": {"echo": {}}}},
        "comment": "why",
    }
    applied = await admin("POST", f"/organisations/{organisation}/apply", json=body)
    assert applied.status_code == 200, applied.text
    return applied


async def test_without_a_token_everything_asks_for_one(installation: Stack, api_of: ApiOf) -> None:
    async with httpx2.AsyncClient() as http:
        described = (await http.get(f"{installation.url}/docs/openapi.json")).json()
    nobody = api_of(None)
    for path, methods in described["paths"].items():
        if path.startswith("/api/v1/session/external"):
            continue  # where a browser goes to show who it is
        if path.startswith("/api/v1"):
            real = path.removeprefix("/api/v1").format_map(Filled(organisation="acme", digest="sha256:0"))
            query = {"comment": "c", "before": 1, "after": 2, "client": "c", "tool": "t"}
            for method in set(methods) & {"get", "delete"}:
                response = await nobody(method.upper(), real, params=query)
                assert problem(response, 401, "auth.required")
                assert response.headers["www-authenticate"] == "Bearer"


async def test_the_api_describes_itself(installation: Stack) -> None:
    async with httpx2.AsyncClient() as http:
        described = (await http.get(f"{installation.url}/docs/openapi.json")).json()
        assert (await http.get(f"{installation.url}/docs")).status_code == 200
    assert "/api/v1/organisations/{organisation}/apply" in described["paths"]
    assert "PlaybookDefinition" in json.dumps(described["components"])


@pytest.mark.parametrize("token", ["junk", "cbk_" + "0" * 46, "Bearer"])
async def test_a_token_that_is_none_is_refused(token: str, api_of: ApiOf) -> None:
    problem(await api_of(token)("GET", "/organisations"), 401, "auth.invalid")


async def test_a_scope_allows_what_it_says_and_nothing_more(
    admin: Api, api_of: ApiOf, organisation: str, echo_server: dict[str, object]
) -> None:
    await publish(admin, organisation, echo_server)
    at = f"/organisations/{organisation}"
    use, read, manage = [api_of(await token_of(admin, organisation, scopes=[s])) for s in ("use", "read", "manage")]
    problem(await use("GET", f"{at}/playbooks"), 403, "auth.forbidden")
    assert (await read("GET", f"{at}/playbooks")).status_code == 200
    problem(await read("POST", f"{at}/tokens", json={"client": "x"}), 403, "auth.forbidden")
    problem(await read("GET", "/status"), 403, "auth.forbidden")
    assert (await manage("GET", "/status")).status_code == 200
    assert (await manage("POST", f"{at}/tokens", json={"client": "x"})).status_code == 201
    problem(await manage("POST", "/organisations", json={"organisation": "mine"}), 403, "auth.forbidden")
    problem(await manage("POST", "/projections/playbooks/rebuild"), 403, "auth.forbidden")
    event = {"organisation": organisation, "seq": 1, "comment": "why"}
    for verb in ("skip", "retry"):
        problem(await manage("POST", f"/projections/playbooks/{verb}", json=event), 403, "auth.forbidden")
        problem(await admin("POST", f"/projections/playbooks/{verb}", json=event), 409, "projection.not_stopped")
    problem(await manage("POST", "/audit/verify", json={}), 403, "auth.forbidden")


async def test_a_token_reaches_its_own_organisation_only(admin: Api, api_of: ApiOf, organisation: str) -> None:
    other = f"{organisation}-other"
    assert (await admin("POST", "/organisations", json={"organisation": other})).status_code == 200
    manage = api_of(await token_of(admin, organisation, scopes=["manage"]))
    mine = (await manage("GET", "/organisations")).json()["organisations"]
    assert [line["organisation"] for line in mine] == [organisation]
    for name in (other, "*", ">", "no-such", "A B"):
        for path in (
            "playbooks",
            "servers",
            "tokens",
            "secrets",
            "events",
            "events/1",
            "calls",
            "calls/tail",
            "events/tail",
        ):
            answer = await manage("GET", f"/organisations/{name}/{path}")
            assert answer.status_code in (403, 404), f"{name} {path}: {answer.status_code}"


async def test_a_token_limited_to_a_playbook_cannot_widen_itself(
    admin: Api, api_of: ApiOf, organisation: str, echo_server: dict[str, object]
) -> None:
    await publish(admin, organisation, echo_server)
    at = f"/organisations/{organisation}"
    limited = api_of(await token_of(admin, organisation, scopes=["manage"], playbooks=["start"]))
    seen = (await limited("GET", f"{at}/playbooks")).json()["playbooks"]
    assert [line["playbook"] for line in seen] == ["start"]
    assert (await limited("GET", f"{at}/playbooks/start/versions")).status_code == 200
    problem(await limited("GET", f"{at}/playbooks/other/versions"), 403, "auth.forbidden")
    problem(await limited("POST", f"{at}/tokens", json={"client": "x", "scopes": ["manage"]}), 403, "auth.forbidden")
    problem(await limited("POST", f"{at}/apply", json={"playbooks": {}}), 403, "auth.forbidden")
    problem(await limited("PUT", f"{at}/secrets/k", json={"value": "v"}), 403, "auth.forbidden")
    back = await limited("POST", f"{at}/playbooks/start/rollback", json={"to": 1, "comment": "c"})
    assert back.status_code == 200, back.text


async def test_nobody_can_issue_a_token_that_administers(admin: Api, organisation: str) -> None:
    body = {"client": "x", "scopes": ["administer"]}
    problem(await admin("POST", f"/organisations/{organisation}/tokens", json=body), 400, "argument.invalid")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"{", "truncated"),
        (b"[]", "array"),
        (b'{"organisation": 7}', "organisation"),
        (b'{"organisation": "a", "nope": 1}', "nope"),
        (b"", "organisation"),
        (b'{"organisation": "Not A Slug"}', "organisation"),
    ],
    ids=["truncated", "array", "wrong-type", "unknown-field", "empty", "bad-name"],
)
async def test_a_malformed_body_is_refused_by_name(body: bytes, told: str, admin: Api) -> None:
    refused = await admin("POST", "/organisations", content=body, headers={"Content-Type": "application/json"})
    assert refused.status_code == 400, refused.text
    assert refused.headers["content-type"] == "application/problem+json"
    assert told in refused.text or refused.json()["code"] == "argument.invalid"


async def test_a_body_that_is_too_large_is_refused(admin: Api, organisation: str) -> None:
    content = json.dumps({"value": "x" * 5_000_000}).encode()
    sent = {"Content-Type": "application/json"}
    refused = await admin("PUT", f"/organisations/{organisation}/secrets/k", content=content, headers=sent)
    problem(refused, 413, "payload.too_large")


async def test_a_refused_secret_is_not_repeated_in_the_refusal(admin: Api, organisation: str) -> None:
    body = {"value": ["hunter2"], "hunter3": 1}
    refused = await admin("PUT", f"/organisations/{organisation}/secrets/k", json=body)
    assert refused.status_code == 400
    assert "hunter2" not in refused.text


async def test_an_unknown_thing_is_not_found_with_its_code(admin: Api, organisation: str) -> None:
    at = f"/organisations/{organisation}"
    problem(await admin("GET", f"{at}/playbooks/none/versions"), 404, "playbook.unknown")
    problem(await admin("DELETE", f"{at}/servers/none", params={"comment": "c"}), 404, "server.unknown")
    problem(await admin("DELETE", f"{at}/tokens/none"), 404, "token.unknown")
    problem(await admin("POST", "/projections/none/rebuild"), 404, "projection.unknown")
    problem(await admin("GET", "/organisations/no-such/playbooks"), 404, "organisation.unknown")


async def test_an_idempotency_key_makes_a_retry_change_nothing(admin: Api, organisation: str) -> None:
    path, key = f"/organisations/{organisation}/secrets/k", {"Idempotency-Key": "once"}
    first = await admin("PUT", path, json={"value": "v"}, headers=key)
    again = await admin("PUT", path, json={"value": "v"}, headers=key)
    assert first.json() == again.json()
    secrets = (await admin("GET", f"/organisations/{organisation}/secrets")).json()["secrets"]
    assert [(line["secret"], line["version"]) for line in secrets] == [("k", 1)]
    problem(await admin("PUT", path, json={"value": "other"}, headers=key), 409, "command.reused")


async def test_the_actor_is_the_token_and_never_the_body(
    admin: Api, api_of: ApiOf, organisation: str, echo_server: dict[str, object]
) -> None:
    token = await token_of(admin, organisation, client="carol", scopes=["manage"])
    await publish(api_of(token), organisation, echo_server)
    history = (await admin("GET", f"/organisations/{organisation}/playbooks/start/versions")).json()["versions"]
    assert history[0]["actor"].startswith("carol/")
    assert history[0]["comment"] == "why"


async def test_a_fault_of_an_apply_names_its_place(admin: Api, organisation: str) -> None:
    body = {"playbooks": {"p": {"servers": {"ghost": {}}}}, "comment": "c"}
    told = problem(await admin("POST", f"/organisations/{organisation}/apply", json=body), 400, "file.invalid")
    assert told["faults"][0]["path"] == ["playbooks", "p", "servers", "ghost"]


async def next_data(lines: Any) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE):
        async for line in lines:
            if line.startswith("data: "):
                event: dict[str, Any] = json.loads(line[6:])
                return event
    raise AssertionError("the stream ended")


async def test_events_are_followed_as_they_are_published(admin: Api, organisation: str) -> None:
    async with admin.client() as http, http.stream("GET", f"/organisations/{organisation}/events/tail") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.aiter_lines()
        assert await anext(lines) == ": following"
        await admin("PUT", f"/organisations/{organisation}/secrets/k", json={"value": "hunter2"})
        event = await next_data(lines)
    assert event["event"] == {"type": "secret.stored", "secret": "k", "version": 1}
    assert "hunter2" not in json.dumps(event)


async def test_the_tail_of_a_limited_token_shows_its_playbooks_only(
    admin: Api, api_of: ApiOf, installation: Stack, organisation: str, echo_server: dict[str, object]
) -> None:
    applied = await publish(admin, organisation, echo_server)
    user = await token_of(admin, organisation)
    limited = api_of(await token_of(admin, organisation, scopes=["read"], playbooks=["start"]))
    async with limited.client() as http, http.stream("GET", f"/organisations/{organisation}/calls/tail") as stream:
        lines = stream.aiter_lines()
        assert await anext(lines) == ": following"
        for playbook in ("other", "start"):
            endpoint = installation.endpoint(organisation, playbook)
            call = {"name": "echo__echo", "arguments": {"text": playbook}}
            answer = await installation.rpc(endpoint, "tools/call", call, user)
            assert answer.status_code == 200, f"{answer.text} after {applied.text}"
        record = await next_data(lines)
    assert record["playbook"] == "start"
    assert record["outcome"] == "ok"
    listed = (await limited("GET", f"/organisations/{organisation}/calls")).json()["calls"]
    assert {call["playbook"] for call in listed} <= {"start"}


async def test_a_reader_that_goes_away_costs_nothing_more(admin: Api, installation: Stack, organisation: str) -> None:
    path = f"/organisations/{organisation}/events/tail"
    for _ in range(20):
        async with admin.client() as http, http.stream("GET", path) as stream:
            assert await anext(stream.aiter_lines()) == ": following"
    answer = await admin("GET", "/status")
    edge = next(i for i in answer.json()["instances"] if i["room"] == "edge")
    assert edge["ready"] is True


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "after=-1"])
async def test_a_query_out_of_range_is_refused(query: str, admin: Api, organisation: str) -> None:
    problem(await admin("GET", f"/organisations/{organisation}/events?{query}"), 400, "argument.invalid")


async def test_a_path_that_is_no_route_is_a_problem_too(admin: Api) -> None:
    assert (await admin("GET", "/nothing/here")).status_code == 404
    assert (await admin("PATCH", "/organisations")).status_code == 405
