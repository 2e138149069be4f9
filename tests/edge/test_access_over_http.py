"""What a client meets at a playbook's door: challenges, metadata, its access token, and the end of its grant."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from callboard.kernel.access_tokens import resource_url
from callboard_authsvc.signing.material import make
from tests.authsvc.stack import some_token
from tests.edge.gateway import Gateway, running_gateway
from tests.edge.issuing import TOKEN, principal
from tests.support.waiting import eventually, promised

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("access-over-http")]
DOOR = "/p/acme/start/mcp"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    async with running_gateway(tmp_path_factory.mktemp("access")) as running:
        yield running


@pytest.fixture(autouse=True)
def grant(gateway: Gateway) -> None:
    gateway.issuer.grants["g1"] = principal("g1")


def challenge(gateway: Gateway, path: str = DOOR, more: str = "") -> str:
    metadata = f"{gateway.url}/.well-known/oauth-protected-resource{path}"
    return f'Bearer realm="callboard"{more}, resource_metadata="{metadata}", scope="mcp:use"'


@pytest.mark.parametrize("path", [DOOR, f"{DOOR}/", "/mcp", "/p/acme/start@3/mcp", "/p/acme/nothing/mcp"])
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE", "PUT", "PATCH", "OPTIONS"])
async def test_whoever_has_no_token_is_told_where_to_get_one_before_anything_else(
    gateway: Gateway, method: str, path: str
) -> None:
    answer = await gateway.request(method, path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == challenge(gateway, path.rstrip("/"))
    assert answer.json()["error"]["data"]["code"] == "auth.required"


async def test_a_request_that_only_the_router_finds_wanting_gets_the_same_challenge(gateway: Gateway) -> None:
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}
    body = {"jsonrpc": "2.0", "id": 7, "method": "initialize", "params": hello}
    accept = {"Accept": "application/json, text/event-stream"}
    for answer in (await gateway.listed(), await gateway.request("POST", DOOR, json=body, headers=accept)):
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == challenge(gateway)
        assert answer.json()["id"] in (1, 7)


@pytest.mark.parametrize(("method", "door"), [("GET", "sse"), ("POST", "message"), ("PUT", "sse"), ("POST", "ws")])
async def test_the_other_carriers_tell_the_same(gateway: Gateway, method: str, door: str) -> None:
    path = f"/p/acme/start/{door}"
    answer = await gateway.request(method, path, "cbk_wrong")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == challenge(gateway, path, ', error="invalid_token"')


@pytest.mark.parametrize("kind", ["text/plain", "application/json"])
@pytest.mark.parametrize("session", ["", f"?sessionId={'a' * 48}"])
async def test_a_post_to_a_stream_without_a_token_is_told_where_to_get_one(
    gateway: Gateway, kind: str, session: str
) -> None:
    path, headers, ping = "/p/acme/start/message", {"Content-Type": kind}, b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
    answer = await gateway.request("POST", path + session, content=ping, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == challenge(gateway, path)
    there = await gateway.request("POST", "/p/acme/open/message" + session, content=ping, headers=headers)
    assert there.status_code == (404 if kind == "application/json" else 400)
    assert "www-authenticate" not in there.headers


@pytest.mark.parametrize("token", ["cbk_wrong", "a.b.c"])
async def test_a_bad_token_is_called_one(gateway: Gateway, token: str) -> None:
    for method in ("POST", "GET", "DELETE", "PUT"):
        answer = await gateway.request(method, DOOR, token)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == challenge(gateway, more=', error="invalid_token"')


async def test_an_anonymous_playbook_challenges_nobody(gateway: Gateway) -> None:
    answer = await gateway.listed(path="/p/acme/open/mcp")
    assert answer.status_code == 200
    assert "www-authenticate" not in answer.headers
    assert (await gateway.request("PUT", "/p/acme/open/mcp")).status_code == 405
    assert (await gateway.request("POST", "/p/acme/open/mcp", content=b"{")).status_code == 400


async def test_malformed_and_misplaced_tokens_are_400_without_a_challenge(gateway: Gateway) -> None:
    token = gateway.issuer.token()
    answers = [
        await gateway.listed(headers={"Authorization": "Bearer a b"}),
        await gateway.request("GET", f"{DOOR}?access_token={token}"),
        await gateway.request("POST", f"{DOOR}?x=1&access_token={token}", token),
        await gateway.request("POST", f"/p/acme/start/message?access_token={token}", token),
        await gateway.listed_with_two(token, DOOR),
    ]
    assert [answer.status_code for answer in answers] == [400] * 5
    codes = [answer.json()["error"]["data"]["code"] for answer in answers]
    assert codes == ["auth.malformed", *["argument.invalid"] * 3, "auth.malformed"]
    assert not any("www-authenticate" in answer.headers for answer in answers)


async def test_a_token_of_ours_opens_its_playbook_and_nothing_else(gateway: Gateway) -> None:
    token = gateway.issuer.token()
    for path in (DOOR, f"{DOOR}/", "/p/acme/start@3/mcp"):
        assert (await gateway.listed(token, path)).status_code == 200
    for path in ("/p/acme/other/mcp", "/p/acme/open/mcp", "/p/globex/start/mcp", "/mcp", "/p/acme/nothing/mcp"):
        refused = await gateway.listed(token, path)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == challenge(gateway, path, ', error="invalid_token"')
    everything = gateway.issuer.token(aud=resource_url(gateway.url))
    assert (await gateway.listed(everything, "/mcp")).status_code == 200
    assert (await gateway.listed(everything)).status_code == 401


async def test_no_access_token_is_good_at_the_management_api(gateway: Gateway) -> None:
    gateway.issuer.grants["g1"] = principal("g1", scopes=("own",))
    for scope in ("mcp:use", "mcp:manage mcp:operate mcp:read mcp:use"):
        for audience in (None, resource_url(gateway.url), gateway.url):
            token = gateway.issuer.token(scope=scope, aud=audience or resource_url(gateway.url, "acme", "start"))
            assert (await gateway.request("GET", "/api/v1/me", token)).status_code == 401


async def test_what_goes_on_from_the_edge_holds_no_token(gateway: Gateway) -> None:
    token = gateway.issuer.token()
    gateway.payloads.clear()
    assert (await gateway.listed(token, headers={"Mcp-Param-X": "y", "Cookie": "secret-cookie=1"})).status_code == 200
    sent = b"".join(gateway.payloads)
    assert b"tools/list" in sent
    for part in (*token.split("."), "secret-cookie"):
        assert part.encode() not in sent


async def test_too_few_scopes_are_403_with_those_that_are_needed(gateway: Gateway) -> None:
    for path, audience in ((DOOR, ("acme", "start")), ("/mcp", ())):
        token = gateway.issuer.token(scope="offline_access", aud=resource_url(gateway.url, *audience))
        for method in ("POST", "GET", "DELETE"):
            answer = await gateway.request(method, path, token)
            assert answer.status_code == 403
            told = challenge(gateway, path).replace('scope="mcp:use"', "")
            assert answer.headers["www-authenticate"] == (
                'Bearer realm="callboard", error="insufficient_scope", scope="mcp:use"'
                + told.removeprefix('Bearer realm="callboard"').removesuffix(", ")
            )
    for more in ("mcp:use", "mcp:read", "offline_access mcp:use"):
        assert (await gateway.listed(gateway.issuer.token(scope=more))).status_code == 200, "a higher scope holds it"


async def test_a_token_that_cannot_be_renewed_is_not_sent_for_more_scopes(gateway: Gateway) -> None:
    gateway.issuer.tokens[some_token(3)] = principal("key-3", scopes=("call:read",))
    for path in (DOOR, "/mcp"):
        answer = await gateway.listed(some_token(3), path)
        assert answer.status_code == 403
        assert "www-authenticate" not in answer.headers


async def test_who_may_not_at_all_is_not_sent_for_more_scopes(gateway: Gateway) -> None:
    gateway.issuer.grants["g1"] = principal("g1", grants={"acme": ()})
    answer = await gateway.listed(gateway.issuer.token())
    assert answer.status_code == 403
    assert "www-authenticate" not in answer.headers


async def test_an_ended_grant_is_refused_within_two_seconds(gateway: Gateway) -> None:
    gateway.issuer.grants["g2"] = principal("g2")
    token = gateway.issuer.token(gid="g2")
    assert (await gateway.listed(token)).status_code == 200
    await gateway.revoke("g2")

    async def is_refused() -> bool:
        return (await gateway.listed(token)).status_code == 401

    await promised(is_refused, within=2.0, every=0.02)


async def test_keys_are_rotated_under_traffic_without_a_refusal(gateway: Gateway) -> None:
    issuer, statuses, going = gateway.issuer, list[int](), True
    old = issuer.token()

    async def traffic() -> None:
        while going:
            statuses.append((await gateway.listed(issuer.token(jti=f"j{len(statuses)}"))).status_code)
            if issuer.keys[0].fresh.kid != "k2":
                statuses.append((await gateway.listed(old)).status_code)

    async def some_more() -> None:
        wanted = len(statuses) + 12

        async def came() -> bool:
            return len(statuses) >= wanted

        await eventually(came, every=0.01)

    clients = [asyncio.create_task(traffic()) for _ in range(3)]
    first, second = issuer.keys[0], make("k2")
    await some_more()
    issuer.keys, issuer.signing = [first, second], first  # published, and does not sign yet
    await gateway.tell_keys_changed()
    await some_more()
    issuer.signing = second
    await some_more()
    issuer.keys = [second]
    await gateway.tell_keys_changed()
    await some_more()
    going = False
    await asyncio.gather(*clients)
    assert set(statuses) == {200}

    assert (await gateway.listed(old)).status_code == 401, "a key that is retired is no good any more"


async def test_a_key_that_is_gone_takes_its_tokens_with_it(gateway: Gateway) -> None:
    token = gateway.issuer.token()
    assert (await gateway.listed(token)).status_code == 200
    gateway.issuer.keys, gateway.issuer.signing = [make("k9")], None
    await gateway.tell_keys_changed()

    async def is_refused() -> bool:
        return (await gateway.listed(token)).status_code == 401

    await promised(is_refused, within=2.0, every=0.02)
    assert (await gateway.listed(gateway.issuer.token())).status_code == 200


async def test_a_session_authenticates_nobody_and_is_of_its_grant_alone(gateway: Gateway) -> None:
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
    accept = {"Accept": "application/json, text/event-stream"}
    begun = await gateway.request("POST", DOOR, gateway.issuer.token(), json=body, headers=accept)
    assert begun.status_code == 200
    session = {**accept, "Mcp-Session-Id": begun.headers["mcp-session-id"]}
    ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
    gateway.issuer.grants["g3"] = principal("g3")

    renewed = gateway.issuer.token(jti="the next one")
    assert (await gateway.request("POST", DOOR, renewed, json=ping, headers=session)).status_code == 200
    assert (await gateway.request("POST", DOOR, json=ping, headers=session)).status_code == 401
    for other in (gateway.issuer.token(gid="g3"), TOKEN):
        assert (await gateway.request("POST", DOOR, other, json=ping, headers=session)).status_code == 404


@pytest.mark.parametrize("path", [DOOR, "/mcp", "/p/acme/start@3/mcp", "/p/nobody/nothing/mcp", "/p/acme/start/sse"])
async def test_metadata_is_made_from_the_path_and_tells_nothing_else(gateway: Gateway, path: str) -> None:
    answer = await gateway.request("GET", f"/.well-known/oauth-protected-resource{path}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.json() == {
        "resource": gateway.url + path,
        "authorization_servers": [gateway.url],
        "scopes_supported": ["mcp:use"],
        "bearer_methods_supported": ["header"],
        "resource_name": "Callboard",
    }


@pytest.mark.parametrize(
    "path", ["", "/", "/p/acme/start", "/p/UP/start/mcp", "/p/acme/start@x/mcp", "/x", "/p/a/b/c/mcp"]
)
async def test_what_is_no_endpoint_has_no_metadata(gateway: Gateway, path: str) -> None:
    answer = await gateway.request("GET", f"/.well-known/oauth-protected-resource{path}")
    assert (answer.status_code, answer.json()) == (404, {"error": "not_found"})


async def test_whatever_a_client_probes_for_is_answered_in_json(gateway: Gateway) -> None:
    for path in ("/.well-known/nothing", "/.well-known/openid-configuration/p/acme/start/mcp"):
        answer = await gateway.request("GET", path)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert isinstance(answer.json(), dict)


@pytest.mark.parametrize(
    "path",
    [
        f"/.well-known/oauth-protected-resource{DOOR}",
        "/jwks.json",
        "/.well-known/oauth-authorization-server/p/acme/start/mcp",
        "/.well-known/nothing",
    ],
)
async def test_a_page_of_any_origin_may_look_for_documents(gateway: Gateway, path: str) -> None:
    asking = {
        "Origin": "https://inspector.example",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "mcp-protocol-version",
    }
    allowed = await gateway.request("OPTIONS", path, headers=asking)
    assert allowed.status_code == 204
    assert allowed.headers["access-control-allow-origin"] == "*"
    assert allowed.headers["access-control-allow-methods"] == "GET"
    for name in ("mcp-protocol-version", "authorization", "content-type"):
        assert name in allowed.headers["access-control-allow-headers"]
    assert (await gateway.request("POST", path)).status_code == 405


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/login", {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400),
        ("POST", "/login", {"data": {"email": "x" * 70_000}}, 413),
        ("POST", "/join", {"data": {"email": "x" * 70_000}}, 413),
        ("GET", "/consent/", {}, 404),
        ("PUT", "/consent/r1", {}, 405),
        ("GET", "/logout", {}, 405),
        ("POST", "/oauth/callback", {}, 405),
    ],
)
async def test_every_refusal_of_a_page_is_a_page(
    gateway: Gateway, method: str, path: str, body: dict[str, Any], status: int
) -> None:
    headers = {"Origin": gateway.url, "Cookie": "__Host-callboard-consent=r1", **body.pop("headers", {})}
    answer = await gateway.request(method, path, headers=headers, **body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("GET", "/nothing", 404), ("GET", "/api/v1/nothing", 404), ("PUT", "/api/v1/me", 405)],
)
async def test_what_is_not_there_is_a_problem_document(gateway: Gateway, method: str, path: str, status: int) -> None:
    answer = await gateway.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "route.unknown"


async def test_the_key_set_has_public_halves_only(gateway: Gateway) -> None:
    answer = await gateway.request("GET", "/jwks.json")
    assert answer.headers["cache-control"] == "public, max-age=300"
    for key in answer.json()["keys"]:
        assert set(key) == {"kty", "crv", "x", "y", "kid", "alg", "use"}


async def test_a_browser_of_our_own_may_read_the_challenge_and_others_may_not_even_call(gateway: Gateway) -> None:
    ours = {"Origin": "http://localhost:6274"}
    answer = await gateway.request("POST", DOOR, headers=ours)
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == ours["Origin"]
    assert "WWW-Authenticate" in answer.headers["access-control-expose-headers"]
    preflight = {
        **ours,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,mcp-protocol-version",
    }
    asked = await gateway.request("OPTIONS", DOOR, headers=preflight)
    assert asked.status_code == 204
    assert asked.headers["access-control-allow-headers"] == "authorization,mcp-protocol-version"

    evil = {"Origin": "https://evil.example"}
    for headers in (evil, {**preflight, **evil}):
        refused = await gateway.request("OPTIONS", DOOR, headers=headers)
        assert refused.status_code == 403
        assert "access-control-allow-origin" not in refused.headers
