"""The authorization server over HTTP: what its endpoints answer, and to what they say no."""

from __future__ import annotations

import base64
import json
from html import unescape
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
import pytest_asyncio
from litestar import Litestar

from callboard.contracts import oauth_subjects as subjects
from callboard.contracts.oauth_server import (
    AuthorizationBegun,
    BeginAuthorization,
    ClientRegistered,
    OAuthClient,
    RegisterClient,
)
from callboard_authsvc.oauth_server import begin as begin_module
from callboard_authsvc.oauth_server import register_client
from callboard_edge.oauth.routes import oauth_routes
from tests.authsvc.oauth_desk import BACK, CHALLENGE, METADATA, PUBLIC, RESOURCE, VERIFIER, Desk, desk_of, query_of
from tests.authsvc.people import key_of
from tests.authsvc.stack import Stack, SteppingClock, refused

CURSOR = [
    "cursor://anysphere.cursor-mcp/oauth/callback",
    "https://www.cursor.com/agents/mcp/oauth/callback",
    "http://localhost:8787/callback",
]


@pytest.fixture
def clock() -> SteppingClock:
    return SteppingClock()


@pytest_asyncio.fixture
async def desk(stack: Stack, clock: SteppingClock) -> Desk:
    return await desk_of(stack, clock)


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{quote(client_id)}:{quote(secret)}".encode()).decode()}


async def test_the_metadata_say_what_clients_look_for(desk: Desk) -> None:
    documents = [
        await desk.send("GET", f"/.well-known/{name}")
        for name in ("oauth-authorization-server", "openid-configuration")
    ]

    assert documents[0].body == documents[1].body
    said = documents[0].body
    assert said["issuer"] == PUBLIC
    assert {said[f"{name}_endpoint"] for name in ("authorization", "token", "registration", "revocation")} == {
        f"{PUBLIC}/{name}" for name in ("authorize", "token", "register", "revoke")
    }
    assert said["code_challenge_methods_supported"] == ["S256"]
    assert said["response_types_supported"] == ["code"]
    assert said["token_endpoint_auth_methods_supported"][0] == "none"
    assert said["client_id_metadata_document_supported"] is True
    assert said["authorization_response_iss_parameter_supported"] is True
    assert "offline_access" in said["scopes_supported"]


async def test_pages_of_any_origin_may_use_what_needs_no_person(desk: Desk) -> None:
    page = {"Origin": "https://inspector.example"}
    asking = {**page, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "mcp-protocol-version"}
    for path in ("/.well-known/oauth-authorization-server", "/token", "/register", "/revoke"):
        allowed = await desk.send("OPTIONS", path, headers=asking)
        assert allowed.status == 204
        assert allowed.headers["access-control-allow-origin"] == "*"
        assert "mcp-protocol-version" in allowed.headers["access-control-allow-headers"]
        assert "access-control-allow-credentials" not in allowed.headers
        answer = await desk.send("POST", path, headers=page)
        assert answer.headers["access-control-allow-origin"] == "*"
    for path in ("/authorize", "/introspect"):
        closed = await desk.send("OPTIONS", path, headers=asking)
        assert closed.status == 405
        assert "access-control-allow-origin" not in closed.headers


async def test_every_refusal_is_json_that_nobody_keeps(desk: Desk) -> None:
    long = {"grant_type": "refresh_token", "client_id": "x", "refresh_token": "x" * 40_000}
    twice = "grant_type=refresh_token&client_id=a&client_id=b&refresh_token=x"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    tried: list[tuple[int, str, str, str, dict[str, Any]]] = [
        (405, "invalid_request", "GET", "/token", {}),
        (405, "invalid_request", "PUT", "/register", {}),
        (405, "invalid_request", "DELETE", "/.well-known/oauth-authorization-server", {}),
        (413, "invalid_request", "POST", "/token", {"data": long}),
        (413, "invalid_request", "POST", "/register", {"json": METADATA | {"client_name": "x" * 9000}}),
        (400, "invalid_request", "POST", "/token", {"json": {"grant_type": "refresh_token"}}),
        (400, "invalid_request", "POST", "/token", {"content": twice, "headers": form}),
        (400, "invalid_request", "POST", "/token", {"content": b"\xff", "headers": form}),
        (400, "invalid_request", "POST", "/token", {"data": {"client_id": "x"}}),
        (400, "unsupported_grant_type", "POST", "/token", {"data": {"grant_type": "password", "client_id": "x"}}),
        (401, "invalid_client", "POST", "/token", {"data": {"grant_type": "client_credentials"}}),
        (400, "invalid_request", "POST", "/revoke", {"data": {"client_id": "x"}}),
        (401, "invalid_client", "POST", "/revoke", {"data": {"client_id": "x", "token": "x"}}),
        (401, "invalid_token", "POST", "/introspect", {"data": {"token": "x"}}),
        (400, "invalid_client_metadata", "POST", "/register", {"content": b"[" * 5000}),
        (400, "invalid_request", "GET", "/authorize", {}),
        (401, "invalid_client", "GET", "/authorize", {"params": {"client_id": "client-nobody"}}),
    ]
    for status, error, method, path, rest in tried:
        answer = await desk.send(method, path, **rest)
        assert (answer.status, answer.error) == (status, error), (path, answer.body)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.body["error_description"]


NOWHERE = [
    "javascript:alert(1)",
    "data:text/html,x",
    "http://evil.example/cb",
    "https://a@b.example/cb",
    "https://b.example/cb#x",
    "https://b.example/%2e%2e/cb",
    "evil://callback",
    "http://local\r\nhost/callback",
]


async def test_codes_cannot_be_asked_for_anywhere(desk: Desk) -> None:
    client_id = await desk.register()
    for uri in NOWHERE:
        refusal = await desk.send("POST", "/register", json={"redirect_uris": ["https://good.example/cb", uri]})
        assert (refusal.status, refusal.error) == (400, "invalid_redirect_uri"), uri

        asked = await desk.ask(client_id, redirect_uri=uri)

        assert (asked.status, asked.error) == (400, "invalid_request"), uri
        assert "location" not in asked.headers


async def test_clients_register_as_they_are(desk: Desk) -> None:
    plain = await desk.send("POST", "/register", json=METADATA)
    cursor = await desk.send("POST", "/register", json={"client_name": "Cursor", "redirect_uris": CURSOR})
    secret = await desk.send("POST", "/register", json=METADATA | {"token_endpoint_auth_method": "client_secret_post"})

    assert plain.status == cursor.status == secret.status == 201
    assert plain.body["token_endpoint_auth_method"] == "none"
    assert "client_secret" not in plain.body
    assert plain.headers["cache-control"] == "no-store"
    assert not plain.body["client_id"].startswith("https://")
    assert secret.body["client_secret"].startswith("cbs_")
    assert secret.body["client_secret_expires_at"] == 0
    for back in (CURSOR[0], CURSOR[1], "http://localhost:50123/callback"):
        answer = await desk.ask(cursor.body["client_id"], redirect_uri=back)
        assert answer.headers["location"].startswith(f"{PUBLIC}/consent/")
    assert (await desk.ask(cursor.body["client_id"], redirect_uri=None)).error == "invalid_request"
    for wrong in (
        {"token_endpoint_auth_method": "private_key_jwt"},
        {"grant_types": ["implicit"]},
        {"client_name": "\x07"},
    ):
        answer = await desk.send("POST", "/register", json=METADATA | wrong)
        assert (answer.status, answer.error) == (400, "invalid_client_metadata")


async def test_what_a_client_is_told_at_its_registration_holds_when_it_asks(desk: Desk) -> None:
    spelled = ["https://App.Example/cb", "https://app.example:443/cb", "https://app.example"]
    for scope, told in (("claudeai", None), ("openid profile mcp:read email", "mcp:read")):
        made = await desk.send("POST", "/register", json=METADATA | {"redirect_uris": spelled, "scope": scope})
        assert (made.status, made.headers["cache-control"]) == (201, "no-store")
        assert (made.body["redirect_uris"], made.body.get("scope")) == (spelled, told)
        ann = await desk.office.join(f"ann-{scope[:6]}", "user")
        for uri in spelled:
            request = await desk.request(made.body["client_id"], redirect_uri=uri, scope=scope)
            shown = await desk.consent(request, ann)
            assert shown.redirect_uri == uri
            assert [each.scope for each in shown.scopes] == [told or "mcp:use"]
    other = await desk.ask(made.body["client_id"], redirect_uri="https://app.example/cb")
    assert (other.status, other.error) == (400, "invalid_request")


async def test_one_address_registers_only_so_often(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(register_client, "REGISTRATIONS", 3)
    for _ in range(3):
        await desk.register()

    limited = await desk.send("POST", "/register", json=METADATA)

    assert limited.status == 429
    assert 0 < int(limited.headers["retry-after"]) <= 15 * 60 + 1
    other = Desk(desk.stack, desk.office, "192.0.2.8")
    await other.register()


async def test_a_registration_that_nobody_used_is_over_and_says_so(desk: Desk, clock: SteppingClock) -> None:
    ann = await desk.office.join("ann", "user")
    client_id, _ = await desk.signed_in(ann)
    unused = await desk.register()
    clock.step(hours=24)

    over = await desk.exchange(unused, "x")

    assert (over.status, over.error) == (401, "invalid_client")
    assert (await desk.ask(unused)).status == 401
    assert (await desk.ask(client_id)).status == 302
    # The rows of clients that are over go when somebody registers.
    await desk.register()
    assert await desk.stack.rows("select 1 from cb.oauth_client where client_id = $1", unused) == []


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"response_type": "token"}, "unsupported_response_type"),
    ({"code_challenge": None}, "invalid_request"),
    ({"code_challenge": "short"}, "invalid_request"),
    ({"code_challenge_method": None}, "invalid_request"),
    ({"code_challenge_method": "plain"}, "invalid_request"),
    ({"resource": "https://evil.example/mcp"}, "invalid_target"),
    ({"resource": f"{PUBLIC}/p/acme/start"}, "invalid_target"),
    ({"state": "x" * 5000}, "invalid_request"),
]


async def test_a_bad_request_goes_back_to_the_client_and_says_from_whom(desk: Desk) -> None:
    client_id = await desk.register()
    for changes, error in WRONG:
        answer = await desk.ask(client_id, **changes)

        assert answer.status == 302, changes
        assert answer.headers["location"].startswith(BACK + "?")
        said = query_of(answer.headers["location"])
        assert (said["error"], said["iss"], said["state"]) == (error, PUBLIC, changes.get("state", "s 1")), changes


async def test_nobody_is_sent_at_once_to_the_site_of_a_client_that_nobody_let_in(desk: Desk) -> None:
    site = "https://evil.example/phish?x=%22%3E%3Cb%3E"
    client_id = await desk.register(redirect_uris=[site])
    usual = {"client_id": client_id, "redirect_uri": site, "code_challenge": CHALLENGE, "state": "s 1"}
    for changes, error in WRONG[:-1]:
        query = {"response_type": "code", "code_challenge_method": "S256", "resource": RESOURCE} | usual | changes
        given = {name: value for name, value in query.items() if value is not None}

        page = await desk.http.get("/authorize", params=given)

        assert (page.status_code, page.headers["content-type"]) == (400, "text/html; charset=utf-8"), changes
        assert "location" not in page.headers
        assert "<dd>evil.example</dd>" in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]
        link = unescape(page.text.partition('href="')[2].partition('"')[0])
        assert link.startswith(f"{site}&")
        said = query_of(link)
        assert (said["error"], said["iss"], said["state"]) == (error, PUBLIC, "s 1"), changes


async def test_a_client_that_somebody_let_in_is_told_at_once_what_is_wrong(desk: Desk) -> None:
    site = "https://good.example/cb"
    ann, client_id = await desk.office.join("ann", "user"), await desk.register(redirect_uris=[site])
    await desk.code(client_id, ann, redirect_uri=site)
    for changes, error in WRONG:
        answer = await desk.ask(client_id, redirect_uri=site, **changes)
        assert answer.status == 302
        assert answer.headers["location"].startswith(f"{site}?error={error}&")


async def test_a_client_with_a_host_that_not_every_parser_takes_is_served_at_its_others(desk: Desk) -> None:
    odd, good = "https://xn--rsa.example/cb", "https://good.example/cb"
    client = OAuthClient(
        client_id="https://client.example/c",
        kind="document",
        name="x",
        redirect_uris=(odd, good),
        auth_method="none",
        grant_types=("authorization_code",),
    )

    class Authsvc:
        async def ask(self, subject: str, *rest: Any, **options: Any) -> Any:
            return client if subject == subjects.CLIENT else AuthorizationBegun(request="r1")

    app = Litestar(oauth_routes(Authsvc(), desk.tokens, PUBLIC), openapi_config=None)  # type: ignore[arg-type]
    desk.http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=PUBLIC)
    begun = await desk.ask(client.client_id, redirect_uri=good)
    assert begun.headers["location"] == f"{PUBLIC}/consent/r1"
    answer = await desk.ask(client.client_id, redirect_uri=odd)
    assert (answer.status, answer.error) == (400, "invalid_request")


async def test_nobody_is_redirected_to_where_the_client_is_not(desk: Desk) -> None:
    client_id = await desk.register()
    for change in ({"redirect_uri": "https://evil.example/cb"}, {"redirect_uri": "http://localhost/other"}):
        answer = await desk.ask(client_id, **change, response_type="nonsense")
        assert (answer.status, answer.error) == (400, "invalid_request")
    twice = f"/authorize?client_id={client_id}&redirect_uri={quote(BACK)}&redirect_uri=https%3A%2F%2Fevil.example%2F"
    answer = await desk.send("GET", twice)
    assert (answer.status, answer.error) == (400, "invalid_request")
    posted = {"client_id": client_id, "redirect_uri": BACK, "response_type": "code", "state": "x"}
    form = posted | {"code_challenge": CHALLENGE, "code_challenge_method": "S256", "resource": RESOURCE}
    assert (await desk.send("POST", "/authorize", data=form)).headers["location"].startswith(f"{PUBLIC}/consent/")


async def test_a_client_shows_its_secret_in_the_header_or_in_the_body(desk: Desk) -> None:
    ann = await desk.office.join("ann", "user")
    made = (
        await desk.send("POST", "/register", json=METADATA | {"token_endpoint_auth_method": "client_secret_basic"})
    ).body
    client_id, secret = made["client_id"], made["client_secret"]

    async def exchange(headers: dict[str, str], **form: str) -> Any:
        code = await desk.code(client_id, ann)
        usual = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "code_verifier": VERIFIER}
        return await desk.token(headers=headers, **usual, **form)

    # Without `client_id` in the body, as RFC 6749 has it.
    assert (await exchange(basic(client_id, secret))).status == 200
    assert (await exchange({}, client_id=client_id, client_secret=secret)).status == 200
    wrong = await exchange(basic(client_id, secret + "x"))
    assert (wrong.status, wrong.error) == (401, "invalid_client")
    assert wrong.headers["www-authenticate"].startswith("Basic")
    assert (await exchange({}, client_id=client_id)).status == 401
    assert (await exchange({"Authorization": "Basic !!!"})).status == 401
    assert (await exchange(basic(client_id, secret), client_secret=secret)).error == "invalid_request"
    assert (await exchange(basic(client_id, secret), client_id="client-other")).error == "invalid_request"


async def test_a_client_gives_its_tokens_back(desk: Desk) -> None:
    ann = await desk.office.join("ann", "user")
    client_id, first = await desk.signed_in(ann)
    _, second = await desk.signed_in(ann)
    other = await desk.register()

    async def revoke(token: str, by: str) -> int:
        answer = await desk.send("POST", "/revoke", data={"client_id": by, "token": token, "token_type_hint": "x"})
        return answer.status

    head, body, signature = second["access_token"].split(".")
    forged = ".".join((head, body, signature[::-1]))
    assert [await revoke(token, other) for token in (first["refresh_token"], "junk", "a.b.c")] == [200, 200, 200]
    owner = (await desk.stack.rows("select client_id from cb.oauth_grant order by created_at, gid"))[1]["client_id"]
    assert await revoke(forged, owner) == 200
    await desk.live(first["access_token"])
    await desk.live(second["access_token"])

    assert await revoke(first["access_token"], client_id) == 200

    await refused("auth.invalid", desk.live(first["access_token"]))
    assert (await desk.refresh(client_id, first["refresh_token"])).error == "invalid_grant"
    assert [event["reason"] for event in await desk.events("grant.revoked")] == ["client"]


async def test_only_who_manages_tokens_is_told_what_a_token_is(desk: Desk) -> None:
    owner, ann = await desk.office.join("root", "owner"), await desk.office.join("ann", "user")
    client_id, tokens = await desk.signed_in(ann)
    manager = await desk.office.edge.issue(client="checker", scopes=("manage",), by=key_of(owner))
    reader = await desk.office.edge.issue(client="reader", scopes=("read",), by=key_of(owner))

    async def introspect(token: str, key: str) -> Any:
        headers = {"Authorization": f"Bearer {key}"}
        return (await desk.send("POST", "/introspect", data={"token": token}, headers=headers)).body

    told = await introspect(tokens["access_token"], manager.token)
    assert (told["active"], told["client_id"], told["aud"], told["scope"]) == (True, client_id, RESOURCE, "mcp:use")
    assert (await introspect(tokens["refresh_token"], manager.token))["active"] is True
    for token, key in (
        (tokens["access_token"], reader.token),
        (tokens["access_token"] + "x", manager.token),
        (manager.token, manager.token),
    ):
        assert await introspect(token, key) == {"active": False}
    assert (await introspect(manager.token, tokens["access_token"]))["error"] == "invalid_token"
    await desk.send("POST", "/revoke", data={"client_id": client_id, "token": tokens["refresh_token"]})
    assert await introspect(tokens["access_token"], manager.token) == {"active": False}
    assert json.dumps(told).count(tokens["access_token"]) == 0


async def test_authsvc_takes_no_edge_at_its_word(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    client_id = await desk.register()

    async def begin(**changes: Any) -> AuthorizationBegun:
        usual = {"client_id": client_id, "redirect_uri": BACK, "named": True, "challenge": CHALLENGE}
        command = BeginAuthorization(**(usual | changes))
        return await desk.bus.ask(subjects.BEGIN_AUTHORIZATION, command, AuthorizationBegun)

    await begin()
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"client_id": "client-nobody"}, "invalid_client"),
        ({"redirect_uri": "https://evil.example/cb"}, "invalid_request"),
        ({"redirect_uri": "javascript:alert(1)"}, "invalid_request"),
        ({"challenge": VERIFIER + "="}, "invalid_request"),
        ({"scopes": ("nonsense",)}, "invalid_scope"),
        ({"resource": "https://evil.example/mcp"}, "invalid_target"),
    ]
    for changes, error in wrong:
        assert (await refused("oauth.refused", begin(**changes))).data["error"] == error
    evil = RegisterClient(address="192.0.2.9", name="x", redirect_uris=("http://evil.example/cb",))
    refusal = await refused("oauth.refused", desk.bus.ask(subjects.REGISTER_CLIENT, evil, ClientRegistered))
    assert refusal.data["error"] == "invalid_redirect_uri"
    monkeypatch.setattr(begin_module, "REQUESTS", 2)
    for _ in range(2):
        await begin(address="192.0.2.10")
    assert (await refused("oauth.too_many", begin(address="192.0.2.10"))).data["retry_after"] > 0
