"""Clients that a document describes, clients of service accounts, and identity providers that vouch for persons."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from joserfc import jwt
from joserfc.jwk import ECKey

from callboard.contracts import oauth_subjects as subjects
from callboard.contracts.oauth_server import (
    AddServiceClient,
    AskClient,
    AskGrants,
    AskServiceClients,
    ClientRegistered,
    Grants,
    OAuthClient,
    RemoveServiceClient,
    RevokeGrant,
    ServiceClients,
)
from callboard.contracts.people import CreateServiceAccount
from callboard.contracts.playbooks import Done
from callboard.contracts.subjects import CREATE_SERVICE_ACCOUNT
from callboard.kernel.permissions import can
from callboard.platform import egress
from callboard_authsvc.oauth_server import assertions, find_client
from callboard_edge.api.caller import Caller
from callboard_edge.api.grants import own_grants
from tests.authsvc.identity_provider import FakeProvider, running_provider
from tests.authsvc.oauth_desk import PUBLIC, RESOURCE, Desk, claims_of, desk_of, publish, query_of
from tests.authsvc.people import key_of, person_of
from tests.authsvc.stack import Stack, SteppingClock, new_id, refused
from tests.support.backends import free_port
from tests.support.waiting import PATIENCE, eventually, promised

PRIVATE = {"private_clients": "127.0.0.1"}
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SIGNED = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@pytest.fixture
def clock() -> SteppingClock:
    return SteppingClock(datetime.now(UTC))


class Publisher:
    """A host with one document, over TLS; `answer` is (status, headers, body)."""

    def __init__(self, port: int) -> None:
        self.url = f"https://127.0.0.1:{port}/client.json"
        self.requests = 0
        self.describe()

    def describe(self, **changes: Any) -> None:
        document = {"client_id": self.url, "client_name": "Agent", "redirect_uris": ["http://localhost/callback"]}
        self.say(json.dumps(document | changes).encode())

    def say(self, body: bytes, status: int = 200, kind: str = "application/json", **headers: str) -> None:
        self.answer = (status, {"content-type": kind, **headers}, body)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.requests += 1
        status, headers, body = self.answer
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body})


def certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate of this machine, signed by itself, and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    pem, private = directory / "host.pem", directory / "host.key"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return pem, private


@asynccontextmanager
async def publishing(pem: Path, private: Path) -> AsyncIterator[Publisher]:
    port = free_port()
    publisher = Publisher(port)
    config = uvicorn.Config(
        publisher, host="127.0.0.1", port=port, ssl_certfile=pem, ssl_keyfile=private, lifespan="off", log_config=None
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        await eventually(lambda: server.started)
        yield publisher
    finally:
        server.should_exit = True
        await asyncio.wait_for(serving, PATIENCE)


@pytest_asyncio.fixture
async def publisher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Publisher]:
    pem, private = certificate(tmp_path)
    trusting = ssl.create_default_context(cafile=str(pem))
    monkeypatch.setattr(egress, "tls", lambda: trusting)
    async with publishing(pem, private) as running:
        yield running


async def test_a_document_makes_a_client_and_is_read_again_only_after_some_minutes(
    stack: Stack, clock: SteppingClock, publisher: Publisher
) -> None:
    desk = await desk_of(stack, clock, **PRIVATE)
    ann = await desk.office.join("ann", "user")
    request = await desk.request(publisher.url)

    async def agreed() -> bool:
        asked = AskClient(client_id=publisher.url)
        return (await desk.bus.ask(subjects.CLIENT, asked, OAuthClient)).agreed

    assert not await agreed()
    shown = await desk.consent(request, ann)
    code = query_of(await desk.agree(request, ann))["code"]
    tokens = await desk.exchange(publisher.url, code)

    assert (shown.client_kind, shown.client_host) == ("document", publisher.url.split("/")[2])
    assert any("Any program on your computer" in warning for warning in shown.warnings)
    assert tokens.status == 200
    assert claims_of(tokens.body["access_token"])["client_id"] == publisher.url
    clock.step(seconds=5)
    wider = (await desk.exchange(publisher.url, await desk.code(publisher.url, ann, scope="mcp:use mcp:read"))).body
    assert (await desk.refresh(publisher.url, wider["refresh_token"])).status == 200
    await desk.live(tokens.body["access_token"])  # which may be on another machine, with fewer scopes
    assert publisher.requests == 1
    clock.step(minutes=5)
    assert await agreed()
    await desk.request(publisher.url)
    assert publisher.requests == 2
    # The host is away: whoever has a refresh token does not need it.
    publisher.say(b"", 503)
    clock.step(minutes=5)
    assert (await desk.ask(publisher.url)).status == 401
    assert (await desk.refresh(publisher.url, tokens.body["refresh_token"])).status == 200


async def test_what_is_wrong_with_a_document_is_said_once_and_not_kept(
    stack: Stack, clock: SteppingClock, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = await desk_of(stack, clock, **PRIVATE)
    good = publisher.answer[2]
    bad: list[tuple[bytes, int, str, dict[str, str]]] = [
        (good, 302, "application/json", {"location": publisher.url + "?2"}),
        (good, 404, "application/json", {}),
        (good, 200, "text/html", {}),
        (good + b" " * 5 * 1024, 200, "application/json", {}),
        (good.replace(b"client.json", b"other.json"), 200, "application/json", {}),
        (good.replace(b'"client_name"', b'"client_secret"'), 200, "application/json", {}),
        (good.replace(b"http://localhost", b"http://evil.example"), 200, "application/json", {}),
    ]
    for body, status, kind, headers in bad:
        publisher.say(body, status, kind, **headers)
        before = publisher.requests
        answer = await desk.ask(publisher.url)
        assert (answer.status, answer.error) == (401, "invalid_client"), (status, kind, body[:80])
        assert publisher.requests == before + 1, "a redirect is not followed"
    assert await desk.stack.rows("select 1 from cb.oauth_client") == []
    publisher.say(good)
    assert (await desk.ask(publisher.url)).status == 302

    clock.step(hours=25)
    monkeypatch.setattr(find_client, "FETCHES", 2)
    statuses = [(await desk.ask(f"{publisher.url}?{number}")).status for number in range(4)]
    assert statuses == [401, 401, 429, 429]


async def test_documents_are_counted_for_the_address_that_asks_at_the_token_endpoint_too(
    stack: Stack, clock: SteppingClock, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = await desk_of(stack, clock, **PRIVATE)
    neighbour = Desk(stack, desk.office, "192.0.2.8")
    monkeypatch.setattr(find_client, "FETCHES", 2)
    publisher.say(b"", 404)

    noisy = [(await desk.refresh(f"{publisher.url}?{number}", "x")).status for number in range(4)]

    assert noisy == [401, 401, 429, 429]
    assert (await neighbour.refresh(f"{publisher.url}?4", "x")).status == 401


async def test_keys_of_a_client_are_fetched_for_good_assertions_and_kept(
    stack: Stack, clock: SteppingClock, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = await desk_of(stack, clock, **PRIVATE)
    first, second = (ECKey.generate_key("P-256", {"kid": kid}) for kid in ("a", "b"))
    keys_url = publisher.url.replace("client.json", "keys.json")
    publisher.describe(token_endpoint_auth_method="private_key_jwt", jwks_uri=keys_url)
    await desk.request(publisher.url)
    publisher.say(json.dumps({"keys": [first.as_dict(private=False)]}).encode())

    async def tried(signer: ECKey = first, **changes: Any) -> tuple[str, int]:
        """The error, and how much was fetched for it. A refresh token that there is not: the client was believed."""
        before, now = publisher.requests, int(clock().timestamp())
        claims = {"iss": publisher.url, "sub": publisher.url, "aud": PUBLIC, "iat": now, "exp": now + 60}
        header = {"alg": "ES256", "kid": signer.kid}
        text = jwt.encode(header, claims | {"jti": new_id()} | changes, signer)
        form = {"client_assertion_type": SIGNED, "client_assertion": text}
        answer = await desk.token(grant_type="refresh_token", refresh_token="x", **form)
        return answer.error, publisher.requests - before

    for change in ({"aud": "https://evil.example"}, {"iss": "somebody"}, {"exp": 0}):
        assert await tried(**change) == ("invalid_client", 0)
    assert await tried() == ("invalid_grant", 1)
    assert await tried() == ("invalid_grant", 0)
    publisher.say(json.dumps({"keys": [key.as_dict(private=False) for key in (first, second)]}).encode())
    assert await tried(second) == ("invalid_client", 0)
    clock.step(minutes=1)
    assert await tried(second) == ("invalid_grant", 1)
    stranger = ECKey.generate_key("P-256", {"kid": "c"})
    assert await tried(stranger) == ("invalid_client", 0)
    clock.step(minutes=1)
    monkeypatch.setattr(assertions, "KEY_FETCHES", 2)
    assert await tried(stranger) == ("temporarily_unavailable", 0)
    assert await tried() == ("invalid_grant", 0)


async def test_no_document_is_fetched_from_a_private_address(
    stack: Stack, clock: SteppingClock, publisher: Publisher
) -> None:
    # What is allowed for upstreams is not for what anybody can name.
    desk = await desk_of(stack, clock, private_upstreams="*")

    for client_id in (publisher.url, publisher.url.replace("https", "http"), "https://127.0.0.1/x", "https://[::1]/x"):
        answer = await desk.ask(client_id)
        assert (answer.status, answer.error) == (401, "invalid_client")

    assert publisher.requests == 0


# --- service clients -----------------------------------------------------------------------------------


async def account(desk: Desk, role: str = "user", organisation: str = "acme") -> None:
    command = CreateServiceAccount(command_id=new_id(), organisation=organisation, account="ci", role=role)
    await desk.bus.ask(CREATE_SERVICE_ACCOUNT, command, Done)


async def service_client(desk: Desk, by: str = "", **rest: Any) -> ClientRegistered:
    usual = {"command_id": new_id(), "organisation": "acme", "account": "ci", "by": by}
    return await desk.bus.ask(subjects.ADD_SERVICE_CLIENT, AddServiceClient(**(usual | rest)), ClientRegistered)


def credentials(client: ClientRegistered, **rest: str) -> dict[str, str]:
    usual = {"grant_type": "client_credentials", "client_id": client.client_id, "resource": RESOURCE}
    return usual | ({"client_secret": client.client_secret} if client.client_secret else {}) | rest


async def test_a_service_account_gets_tokens_by_its_own_credentials(stack: Stack, clock: SteppingClock) -> None:
    desk = await desk_of(stack, clock)
    await publish(stack, "acme", "other")
    await account(desk)
    client = await service_client(desk, title="Build")

    tokens = await desk.token(**credentials(client, scope="mcp:use mcp:manage"))
    again = await desk.token(**credentials(client, scope="mcp:use mcp:manage"))

    assert tokens.status == 200
    assert "refresh_token" not in tokens.body
    claims = claims_of(tokens.body["access_token"])
    assert (claims["sub"], claims["aud"], claims["gid"]) == (
        "ci",
        RESOURCE,
        claims_of(again.body["access_token"])["gid"],
    )
    principal = await desk.live(tokens.body["access_token"])
    assert can(principal, "use", "acme", "start")
    assert (principal.member, principal.oauth_client) == ("ci", claims["client_id"])
    # More than the account may do is not to be had, whatever the token says.
    assert not can(principal, "read", "acme", "start")
    assert not can(principal, "use", "acme", "other")
    [issued] = await desk.events("grant.issued")
    assert (issued["means"], issued["member"], issued["client_id"]) == ("client_credentials", "ci", client.client_id)

    errors = [
        (await desk.token(**credentials(client, resource=f"{PUBLIC}/p/acme/nothing/mcp"))).error,
        (await desk.token(**credentials(client, resource=f"{PUBLIC}/p/beta/start/mcp"))).error,
        (await desk.token(**credentials(client, scope="nonsense"))).error,
        (await desk.token(**credentials(client, client_secret="x"))).error,
        (await desk.token(grant_type="client_credentials", client_id=await desk.register())).error,
        (await desk.ask(client.client_id)).error,
    ]
    assert errors == [
        "invalid_target", "invalid_target", "invalid_scope", "invalid_client", "unauthorized_client", "invalid_request",
    ]  # fmt: skip

    await desk.office.listen()
    listed = await desk.bus.ask(subjects.SERVICE_CLIENTS, AskServiceClients(organisation="acme"), ServiceClients)
    assert [(line.title, line.account, line.used_at is not None) for line in listed.clients] == [("Build", "ci", True)]
    gone = RemoveServiceClient(command_id=new_id(), organisation="acme", client_id=client.client_id)
    await desk.bus.ask(subjects.REMOVE_SERVICE_CLIENT, gone, Done)
    await promised(lambda: claims["gid"] in desk.office.revoked, within=2)
    await refused("auth.invalid", desk.live(tokens.body["access_token"]))
    assert (await desk.token(**credentials(client))).status == 401


async def test_a_client_of_a_removed_account_is_not_one_of_the_next_account_of_that_name(
    stack: Stack, clock: SteppingClock
) -> None:
    desk = await desk_of(stack, clock)
    await account(desk)
    former, orphan = await service_client(desk), await service_client(desk)
    assert (await desk.token(**credentials(former))).status == 200

    await desk.office.remove("ci")
    removed = await desk.token(**credentials(former))
    [clients] = await stack.rows("select count(*) from cb.oauth_client where removed_at is not null")
    clock.step(seconds=1)
    await account(desk, role="admin")
    # As one that was made while its account was being removed.
    await stack.rows("update cb.oauth_client set removed_at = null where client_id = $1", orphan.client_id)

    assert clients["count"] == 2
    assert [(answer.status, answer.error) for answer in (removed, await desk.token(**credentials(former)))] == [
        (401, "invalid_client")
    ] * 2
    assert (await desk.token(**credentials(orphan))).error == "invalid_client"
    assert (await desk.token(**credentials(await service_client(desk)))).status == 200


async def test_a_service_account_has_nothing_of_one_with_its_name_in_another_organisation(
    stack: Stack, clock: SteppingClock
) -> None:
    desk = await desk_of(stack, clock)
    await desk.office.edge.create("beta")
    await account(desk)
    await account(desk, organisation="beta")
    tokens = await desk.token(**credentials(await service_client(desk)))
    gid = claims_of(tokens.body["access_token"])["gid"]
    own = await desk.office.edge.issue("acme", "ci", scopes=("use",))
    other = await desk.office.edge.issue("beta", "ci", scopes=("use",))

    async def seen(token: str) -> list[str]:
        caller = Caller(await desk.office.verify(token))
        return [line.grant for line in (await own_grants.fn(desk.bus, caller)).grants]

    def ending(key_id: str) -> Any:
        command = RevokeGrant(command_id=new_id(), organisation="", grant=gid, by=key_id)
        return desk.bus.ask(subjects.REVOKE_GRANT, command, Done)

    assert (await seen(own.token), await seen(other.token)) == ([gid], [])
    assert (await desk.bus.ask(subjects.GRANTS, AskGrants(member="ci"), Grants)).grants == ()
    await refused("grant.unknown", ending(other.key_id))
    await refused("auth.forbidden", desk.office.remove("ci", by=other.key_id))
    await desk.live(tokens.body["access_token"])
    assert (await ending(own.key_id)).seq > 0


async def test_a_client_for_an_account_is_made_by_who_may_do_what_the_account_may(
    stack: Stack, clock: SteppingClock
) -> None:
    desk = await desk_of(stack, clock)
    await account(desk, role="admin")
    manager, viewer = await desk.office.join("ann", "manager"), await desk.office.join("bob", "viewer")

    for by in (key_of(manager), key_of(viewer)):
        await refused("auth.forbidden", service_client(desk, by))
    await refused("member.unknown", service_client(desk, account=person_of(manager)))
    await refused("argument.invalid", service_client(desk, account="a\u0000b"))
    await refused("argument.invalid", service_client(desk, public_keys='{"keys":[{"kty":"oct","k":"AA"}]}'))


async def test_a_client_signs_instead_of_a_secret(stack: Stack, clock: SteppingClock) -> None:
    desk = await desk_of(stack, clock)
    await account(desk)
    key, other = ECKey.generate_key("P-256", {"kid": "a"}), ECKey.generate_key("P-256", {"kid": "a"})
    client = await service_client(desk, public_keys=json.dumps({"keys": [key.as_dict(private=False)]}))
    assert client.client_secret == ""

    async def tried(signer: ECKey = key, **changes: Any) -> Any:
        now = int(clock().timestamp())
        claims = {"iss": client.client_id, "sub": client.client_id, "aud": PUBLIC, "iat": now, "exp": now + 60}
        text = jwt.encode({"alg": "ES256", "kid": "a"}, claims | {"jti": new_id()} | changes, signer)
        return await desk.token(
            grant_type="client_credentials",
            resource=RESOURCE,
            client_assertion_type=SIGNED,
            client_assertion=text,
        )

    assert (await tried()).status == 200
    assert (await tried(aud=[f"{PUBLIC}/token"])).status == 200
    assert (await tried(jti="once")).status == 200
    now = int(clock().timestamp())
    wrong: list[dict[str, Any]] = [
        {"jti": "once"},
        {"jti": ""},
        {"aud": "https://evil.example"},
        {"iss": "somebody"},
        {"exp": now - 60},
        {"exp": now + 3600},
        {"exp": "soon"},
        {"nbf": now + 3600},
        {"signer": other},
    ]
    for change in wrong:
        answer = await tried(**change)
        assert (answer.status, answer.error) == (401, "invalid_client"), change
    unsigned = await desk.token(**credentials(client))
    assert unsigned.status == 401


# --- identity providers that vouch (ID-JAG) -------------------------------------------------------------


@pytest_asyncio.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with running_provider() as running:
        yield running


async def test_an_identity_provider_vouches_for_a_person_to_a_client(
    stack: Stack, clock: SteppingClock, provider: FakeProvider
) -> None:
    desk = await desk_of(stack, clock, id_jag_issuers=f"{provider.issuer}=acme", private_upstreams="127.0.0.1")
    ann = await desk.office.join("ann", "user")
    await account(desk)
    client = await service_client(desk)
    link = "insert into cb.external_identity (issuer, subject, person) values ($1, 's1', $2) returning person"
    await stack.rows(link, provider.issuer, person_of(ann))

    async def tried(typ: str = "oauth-id-jag+jwt", resource: str = "", **changes: Any) -> Any:
        provider.header = {"typ": typ}
        usual = {"aud": PUBLIC, "client_id": client.client_id, "resource": RESOURCE, "jti": new_id()}
        provider.claims = usual | {"iat": int(time.time()), "exp": int(time.time()) + 120} | changes
        form = credentials(client, grant_type=JWT_BEARER, assertion=provider.id_token("n"), resource=resource)
        return await desk.token(**{name: value for name, value in form.items() if value})

    tokens = await tried(scope="mcp:use")

    assert (tokens.status, tokens.body["scope"]) == (200, "mcp:use")
    assert "refresh_token" not in tokens.body
    assert claims_of(tokens.body["access_token"])["sub"] == person_of(ann)
    assert can(await desk.live(tokens.body["access_token"]), "use", "acme", "start")
    assert (await tried(jti="once", resource=RESOURCE)).status == 200
    assert (await tried(resource=f"{PUBLIC}/mcp")).error == "invalid_target"
    wrong: list[dict[str, Any]] = [
        {"typ": "JWT"},
        {"jti": "once"},
        {"aud": "https://evil.example"},
        {"aud": [PUBLIC, "https://evil.example"]},
        {"client_id": "client-other"},
        {"sub": "nobody"},
        {"iss": "https://evil.example"},
        {"exp": int(time.time()) - 60},
    ]
    for change in wrong:
        answer = await tried(**change)
        assert (answer.status, answer.error) == (400, "invalid_grant"), change
    provider.signer = ECKey.generate_key("P-256", {"kid": "one"})
    assert (await tried()).error == "invalid_grant"
    provider.signer = None
    await desk.office.edge.create("beta")
    await account(desk, organisation="beta")
    client = await service_client(desk, organisation="beta")
    assert (await tried()).error == "invalid_grant", "it vouches to clients of one organisation"
    public = await desk.register()
    form = credentials(client, grant_type=JWT_BEARER, assertion=provider.id_token("n"), client_id=public)
    assert (await desk.token(**form)).error == "unauthorized_client"
