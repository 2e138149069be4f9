"""Signing in at an identity provider, over the bus, against a provider that can be told to lie."""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from joserfc.jwk import ECKey

from callboard.contracts import subjects
from callboard.contracts.access import Principal
from callboard.contracts.people import (
    AskExternal,
    ExternalLogin,
    FinishExternal,
    ReceiveWebhook,
    SessionOpened,
    StartExternal,
)
from callboard.contracts.people_events import MemberJoined, MemberProvisioned, MemberRemoved, MemberRoleGiven
from callboard.contracts.playbooks import Done
from callboard.contracts.problems import Problem
from callboard.kernel.webhook_signatures import signature_of
from callboard_authsvc.external import domain
from callboard_authsvc.members.domain import MEMBERSHIP, Provision
from tests.authsvc.given import Given
from tests.authsvc.identity_provider import FakeProvider, running_provider
from tests.authsvc.people import Office, person_of
from tests.authsvc.stack import Edge, Stack, refused
from tests.support.waiting import promised

KEY = b"a key of the provider's hooks"
ANN = {"email": "Ann@Example.com", "email_verified": True, "name": "Ann"}
GOOD = {"iss": "https://i", "aud": "c", "sub": "s", "iat": 1000, "exp": 2000, "nonce": "n"}


@pytest_asyncio.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with running_provider() as running:
        yield running


@pytest_asyncio.fixture
async def office(stack: Stack, provider: FakeProvider) -> Office:
    webhook = {"oidc_webhook_secret": f"whsec_{base64.b64encode(KEY).decode()}"}
    roles = {"oidc_organisation": "acme", "oidc_roles": "staff=viewer, ops=operator"}
    await stack.authsvc(**provider.settings, **webhook, **roles)
    edge = Edge(await stack.bus_of("edge"))
    await edge.create("acme")
    return Office(edge)


async def start(office: Office) -> ExternalLogin:
    return await office.bus.ask(subjects.START_EXTERNAL, StartExternal(), ExternalLogin)


async def finish(office: Office, ticket: str, state: str, code: str, **more: str) -> SessionOpened:
    command = FinishExternal(ticket=ticket, state=state, code=code, **more)
    return await office.bus.ask(subjects.FINISH_EXTERNAL, command, SessionOpened)


async def sign_in(office: Office, provider: FakeProvider, **claims: Any) -> SessionOpened:
    provider.claims = {**ANN, **claims}
    begun = await start(office)
    code, state = provider.approve(begun.url)
    return await finish(office, begun.ticket, state, code, iss=provider.issuer)


async def test_whom_the_provider_vouches_for_is_a_person_with_the_role_of_its_groups(
    stack: Stack, office: Office, provider: FakeProvider
) -> None:
    first = await sign_in(office, provider, groups=["staff", "ops", 7])
    assert first.signed_in.person.email == "ann@example.com"
    assert first.signed_in.principal.grants == {"acme": ("operator",)}
    await office.listen()

    second = await sign_in(office, provider, groups=["staff"], email="new@example.com")

    assert person_of(second) == person_of(first)
    assert second.signed_in.principal.grants == {"acme": ("viewer",)}
    await promised(lambda: first.signed_in.principal.key_id in office.changed, within=2)
    assert (await sign_in(office, provider, groups=[])).signed_in.principal.grants == {}
    assert (await stack.events("acme"))[1:] == [
        "member.provisioned",
        "person.signed_in",
        "member.role_given",
        "person.signed_in",
        "member.removed",
    ]
    await refused("login.refused", office.sign_in("ann@example.com", ""))


async def test_an_address_alone_opens_no_account_that_exists(office: Office, provider: FakeProvider) -> None:
    await office.join("ann", "owner")

    await refused("login.refused", sign_in(office, provider))
    await refused("login.refused", sign_in(office, provider, sub="s2", email="eve@x.example", email_verified=False))


async def test_only_the_browser_that_began_finishes_and_only_once(office: Office, provider: FakeProvider) -> None:
    provider.claims = ANN
    begun, other = await start(office), await start(office)
    code, state = provider.approve(begun.url)
    await refused("login.refused", finish(office, other.ticket, state, code))
    # The state was used up by that.
    await refused("login.refused", finish(office, begun.ticket, state, code))

    begun = await start(office)
    code, state = provider.approve(begun.url)
    await refused("login.refused", finish(office, begun.ticket, state, code, iss="https://evil.example"))

    begun, other = await start(office), await start(office)
    _, state = provider.approve(begun.url)
    stolen, _ = provider.approve(other.url)
    # A code of another login: its PKCE verifier and nonce do not fit.
    await refused("login.refused", finish(office, begun.ticket, state, stolen))


async def test_a_token_that_the_provider_did_not_sign_is_refused(office: Office, provider: FakeProvider) -> None:
    public = provider.keys[0].as_pem(private=False)
    attacks: list[tuple[dict[str, Any], Any]] = [
        ({"alg": "none"}, b"-"),
        ({"alg": "HS256"}, public),
        ({}, ECKey.generate_key("P-256")),
        ({"kid": "unknown"}, ECKey.generate_key("P-256")),
    ]
    for provider.header, provider.signer in attacks:
        await refused("login.refused", sign_in(office, provider))


async def test_a_key_that_the_provider_took_up_since_is_fetched_once(
    office: Office, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sign_in(office, provider)
    provider.keys.append(ECKey.generate_key("P-256", {"kid": "two"}))
    await refused("login.refused", sign_in(office, provider))
    assert provider.key_requests == 1

    monkeypatch.setattr("callboard_authsvc.adapters.identity_provider._KEYS_PAUSE", 0.0)

    await sign_in(office, provider)
    assert provider.key_requests == 2


async def test_a_token_of_the_provider_stands_for_whoever_signed_in_here_before(
    office: Office, provider: FakeProvider
) -> None:
    async def whose(token: str) -> Principal:
        return await office.bus.ask(subjects.EXTERNAL, AskExternal(token=token), Principal)

    provider.claims = {"groups": ["ops"]}
    token = provider.id_token("")
    await refused("auth.invalid", whose(token))
    opened = await sign_in(office, provider, groups=["ops"])

    principal = await whose(token)

    assert (principal.member, principal.grants) == (person_of(opened), {"acme": ("operator",)})
    assert principal.expires_at is not None
    await office.listen()
    await refused("auth.forbidden", office.invite("user", by=principal.key_id))
    await office.give_role(principal.member, "admin")
    await promised(lambda: principal.key_id in office.changed, within=2)
    await office.invite("user", by=principal.key_id)
    provider.claims = {"aud": "another application"}
    await refused("auth.invalid", whose(provider.id_token("")))
    await refused("auth.invalid", whose("a.b.c"))


@pytest.mark.parametrize(
    ("change", "good"),
    [
        ({}, True),
        ({"aud": None, "azp": "web"}, True),
        ({"azp": "web"}, True),
        ({"aud": None}, False),
        ({"aud": None, "azp": "evil"}, False),
        ({"azp": "evil"}, False),
        ({"aud": "other", "azp": "web"}, False),
        ({"iss": "https://j"}, False),
        ({"exp": 1500}, False),
        ({"exp": None}, False),
        ({"nbf": 1600}, False),
        ({"sub": ""}, False),
    ],
)
def test_a_bearer_token_is_bound_to_us_or_to_a_party_we_know(change: dict[str, Any], good: bool) -> None:
    claims = {name: value for name, value in (GOOD | change).items() if value is not None}
    if good:
        assert domain.bearer_of(claims, "https://i", "c", frozenset({"c", "web"}), 1500) == ("s", 2000)
    else:
        with pytest.raises(Problem) as refusal:
            domain.bearer_of(claims, "https://i", "c", frozenset({"c", "web"}), 1500)
        assert refusal.value.code == "auth.invalid"


async def test_whom_the_provider_deletes_loses_everything_and_a_repeated_message_changes_nothing(
    office: Office, provider: FakeProvider
) -> None:
    async def tell(id: str, body: bytes, at: float | None = None, key: bytes = KEY) -> Done:
        timestamp = str(int(time.time() if at is None else at))
        signed = signature_of(key, id, timestamp, body)
        message = ReceiveWebhook(id=id, timestamp=timestamp, signatures=signed, body=body)
        return await office.bus.ask(subjects.RECEIVE_WEBHOOK, message, Done)

    opened = await sign_in(office, provider, groups=["ops"])
    key = opened.signed_in.principal.key_id
    token = await office.edge.issue(client=person_of(opened), scopes=("use",), by=key)
    await office.listen()
    gone = b'{"type": "user.deleted", "data": {"id": "s1"}}'
    await refused("auth.invalid", tell("m1", gone, key=b"x" * 24))
    await refused("auth.invalid", tell("m1", gone, at=time.time() - 400))
    await refused("argument.invalid", tell("m1", b"[]"))
    await tell("m0", b'{"type": "user.created", "data": {"id": "s1"}}')
    await office.verify(token.token)

    await tell("m1", gone)

    await promised(lambda: set(office.revoked) >= {token.key_id, key}, within=2)
    await refused("auth.invalid", office.verify(token.token))
    await refused("auth.invalid", office.whose(opened.session))
    assert (await office.members()).members == ()
    assert await tell("m1", b'{"type": "user.deleted", "data": {"id": "s1"}, "again": 1}') == Done(seq=0)


async def test_a_provider_at_a_private_address_is_asked_only_where_the_settings_allow_it(
    stack: Stack, provider: FakeProvider
) -> None:
    await stack.authsvc(**{**provider.settings, "private_upstreams": ""})
    office = Office(Edge(await stack.bus_of("edge")))

    problem = await refused("login.unavailable", start(office))

    assert "127.0.0.1" not in problem.message


async def test_without_a_provider_there_is_no_such_way_in(edge: Edge) -> None:
    await refused("login.unavailable", start(Office(edge)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "https://i/"},
        {"aud": "other"},
        {"aud": ["c", "other"]},
        {"aud": None},
        {"azp": "other"},
        {"exp": 1400},
        {"exp": "2000"},
        {"exp": True},
        {"nbf": 1600},
        {"iat": 1600},
        {"iat": None},
        {"nonce": "m"},
        {"nonce": None},
        {"sub": ""},
        {"sub": 7},
    ],
)
def test_a_token_for_somebody_else_or_another_time_is_refused(wrong: dict[str, Any]) -> None:
    assert domain.identity_of(GOOD, "https://i", "c", "n", "groups", 1500).subject == "s"
    shared = GOOD | {"aud": ["c", "other"], "azp": "c"}
    assert domain.identity_of(shared, "https://i", "c", "n", "groups", 1500).subject == "s"
    with pytest.raises(Problem) as refusal:
        domain.identity_of(GOOD | wrong, "https://i", "c", "n", "groups", 1500)
    assert refusal.value.code == "login.refused"


def test_the_highest_role_of_the_groups_counts() -> None:
    assert domain.parse_roles(" staff=viewer, a=b=admin,") == {"staff": "viewer", "a=b": "admin"}
    assert domain.role_of(("staff", "root"), {"staff": "viewer", "root": "owner"}) == "owner"
    assert domain.role_of(("else",), {"staff": "viewer"}) == ""
    for bad in ("staff", "staff=king", "=viewer"):
        with pytest.raises(ValueError, match="GROUP=ROLE"):
            domain.parse_roles(bad)


def test_groups_decide_about_whom_they_brought_and_about_nobody_else() -> None:
    invited = MemberJoined(member="person-ann", role="owner", permissions=(), invitation="i")
    brought = MemberProvisioned(member="person-bob", role="viewer")

    Given(MEMBERSHIP).when(Provision(member="person-bob", role="viewer")).then(brought)
    Given(MEMBERSHIP).when(Provision(member="person-bob", role="")).then_nothing()
    Given(MEMBERSHIP, invited).when(Provision(member="person-ann", role="user")).then_nothing()
    Given(MEMBERSHIP, brought).when(Provision(member="person-bob", role="viewer")).then_nothing()
    Given(MEMBERSHIP, brought).when(Provision(member="person-bob", role="admin")).then(
        MemberRoleGiven(member="person-bob", role="admin", permissions=())
    )
    Given(MEMBERSHIP, brought).when(Provision(member="person-bob", role="")).then(MemberRemoved(member="person-bob"))
    owner = MemberProvisioned(member="person-bob", role="owner")
    Given(MEMBERSHIP, owner).when(Provision(member="person-bob", role="")).then_refused("member.last_owner")


@pytest.mark.parametrize(
    ("issuer", "safe"),
    [("https://i", True), ("http://127.0.0.1:1", True), ("http://i", False), ("ftp://i", False), ("i", False)],
)
def test_a_provider_is_asked_over_https(issuer: str, safe: bool) -> None:
    assert domain.is_safe_issuer(issuer) is safe
