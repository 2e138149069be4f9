"""Consent, codes, refresh tokens and their end: a real authsvc on a real database, reached as clients reach it."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
import pytest_asyncio

from callboard.contracts import oauth_subjects as subjects
from callboard.contracts.oauth_server import AskGrants, Grants, RevokeGrant
from callboard.contracts.people import (
    AcceptInvitation,
    ChangePassword,
    Joined,
    OfferReset,
    ResetOffered,
    ResetPassword,
    SessionOpened,
)
from callboard.contracts.playbooks import Done
from callboard.contracts.subjects import ACCEPT_INVITATION, CHANGE_PASSWORD, OFFER_RESET, RESET_PASSWORD
from callboard.kernel.permissions import can
from callboard.platform.settings import Sensitive
from tests.authsvc.oauth_desk import METADATA, PUBLIC, RESOURCE, Desk, claims_of, desk_of, publish, query_of
from tests.authsvc.people import PASSWORD, key_of, person_of
from tests.authsvc.stack import Stack, SteppingClock, new_id, refused
from tests.support.waiting import promised


@pytest.fixture
def clock() -> SteppingClock:
    return SteppingClock()


@pytest_asyncio.fixture
async def desk(stack: Stack, clock: SteppingClock) -> Desk:
    return await desk_of(stack, clock)


async def grants_of(desk: Desk, **question: str) -> Grants:
    return await desk.bus.ask(subjects.GRANTS, AskGrants(**question), Grants)


async def test_a_client_registers_asks_and_gets_tokens_for_one_playbook(desk: Desk) -> None:
    ann = await desk.office.join("ann", "operator")
    client_id = await desk.register()
    request = await desk.request(client_id, scope="mcp:use mcp:read offline_access")

    shown = await desk.consent(request, ann)
    answer = query_of(await desk.agree(request, ann))

    assert (shown.client_name, shown.client_kind, shown.redirect_host) == ("Agent", "dynamic", "localhost:4711")
    assert (shown.organisation, shown.playbook, shown.union, shown.organisations) == ("acme", "start", False, ())
    assert [scope.scope for scope in shown.scopes] == ["mcp:use", "mcp:read"]
    assert shown.consented_at is None
    assert any("nobody has verified" in warning for warning in shown.warnings)
    assert (answer["state"], answer["iss"], set(answer)) == ("s 1", PUBLIC, {"code", "state", "iss"})
    tokens = await desk.exchange(client_id, answer["code"], resource=RESOURCE + "/")
    assert tokens.status == 200
    assert tokens.headers["cache-control"] == "no-store"
    assert tokens.headers["access-control-allow-origin"] == "*"
    assert (tokens.body["token_type"], tokens.body["scope"]) == ("Bearer", "mcp:use mcp:read")
    claims = claims_of(tokens.body["access_token"])
    assert (claims["aud"], claims["iss"], claims["org"], claims["sub"]) == (RESOURCE, PUBLIC, "acme", person_of(ann))
    principal = await desk.live(tokens.body["access_token"])
    assert (principal.key_id, principal.playbooks, principal.member) == (claims["gid"], ("start",), person_of(ann))
    assert can(principal, "read", "acme", "start")
    assert not can(principal, "operate", "acme", "start")
    assert not can(principal, "use", "acme", "other")
    [given] = await desk.events("grant.consent_given")
    assert (given["grant"], given["member"], given["client_id"]) == (claims["gid"], person_of(ann), client_id)
    # Whoever agreed before is asked again, and told so.
    assert (await desk.consent(await desk.request(client_id), ann)).consented_at is not None


async def test_no_value_that_opens_anything_is_stored(stack: Stack, desk: Desk) -> None:
    ann = await desk.office.join("ann", "user")
    secret = await desk.send("POST", "/register", json=METADATA | {"token_endpoint_auth_method": "client_secret_basic"})
    state = "what the client wants to have back"
    request = await desk.request(await desk.register(), state=state)
    url = await desk.agree(request, ann)
    assert query_of(url)["state"] == state
    _, tokens = await desk.signed_in(ann)

    stored = await stack.everything_stored()

    for value in (secret.body["client_secret"], request, state, query_of(url)["code"], *tokens.values()):
        assert str(value) not in stored or value in (3600, "Bearer", "mcp:use")


async def test_a_request_of_before_states_were_sealed_can_be_answered_and_an_altered_one_cannot(
    stack: Stack, desk: Desk
) -> None:
    ann = await desk.office.join("ann", "user")
    request = await desk.request(await desk.register(), state="x")
    [row] = await stack.rows("select state from cb.oauth_request")
    altered = row["state"][:-8] + "AAAAAAAA"
    await stack.rows("update cb.oauth_request set state = $1", altered)
    await refused("consent.unknown", desk.consent(request, ann))
    await stack.rows("update cb.oauth_request set state = 's/1 of before'")
    await desk.consent(request, ann)
    assert query_of(await desk.agree(request, ann))["state"] == "s/1 of before"


async def test_after_a_step_up_the_grant_before_ends_when_the_client_goes_on_with_the_new_one(
    desk: Desk, clock: SteppingClock
) -> None:
    ann, bob = await desk.office.join("ann", "operator"), await desk.office.join("bob", "operator")
    client_id, other = await desk.register(), await desk.register()

    async def agreed(person: Any, client: str, scope: str) -> dict[str, Any]:
        return (await desk.exchange(client, await desk.code(client, person, scope=scope))).body

    before = await agreed(ann, client_id, "mcp:use")
    same = await agreed(ann, client_id, "mcp:read")
    others, bobs = await agreed(ann, other, "mcp:use"), await agreed(bob, client_id, "mcp:use")
    clock.step(seconds=5)
    after = await agreed(ann, client_id, "mcp:use mcp:operate")
    assert after["scope"] == "mcp:use mcp:operate"
    await desk.live(before["access_token"])

    refreshed = await desk.refresh(client_id, after["refresh_token"])

    assert refreshed.body["scope"] == "mcp:use mcp:operate"
    await refused("auth.invalid", desk.live(before["access_token"]))
    [ended] = await desk.events("grant.revoked")
    assert (ended["grant"], ended["reason"]) == (claims_of(before["access_token"])["gid"], "outgrown")
    for tokens in (same, others, bobs, refreshed.body):
        await desk.live(tokens["access_token"])
    assert (await desk.refresh(client_id, before["refresh_token"])).error == "invalid_grant"
    clock.step(seconds=5)
    twin = await agreed(ann, client_id, "mcp:use mcp:operate")
    assert (await desk.refresh(client_id, twin["refresh_token"])).status == 200
    await desk.live(refreshed.body["access_token"])  # signing in twice is no step-up


async def test_a_code_that_is_spent_twice_at_once_gives_tokens_once_and_ends_the_grant(desk: Desk) -> None:
    ann = await desk.office.join("ann", "user")
    client_id = await desk.register()
    code = await desk.code(client_id, ann)
    await desk.office.listen()

    answers = await asyncio.gather(*[desk.exchange(client_id, code) for _ in range(6)])

    assert sorted(answer.status for answer in answers) == [200, 400, 400, 400, 400, 400]
    assert {answer.error for answer in answers if answer.status == 400} == {"invalid_grant"}
    [good] = [answer.body for answer in answers if answer.status == 200]
    await refused("auth.invalid", desk.live(good["access_token"]))
    assert (await desk.refresh(client_id, good["refresh_token"])).error == "invalid_grant"
    [ended] = await desk.events("grant.revoked")
    assert ended["reason"] == "code_replayed"
    await promised(lambda: desk.office.revoked.count(ended["grant"]) >= 1, within=2)


async def test_a_code_is_of_no_use_to_anybody_else(desk: Desk, clock: SteppingClock) -> None:
    ann = await desk.office.join("ann", "user")
    client_id, other = await desk.register(), await desk.register()
    code = await desk.code(client_id, ann)

    wrong: list[dict[str, Any]] = [
        {"code_verifier": "w" * 43},
        {"redirect_uri": "http://localhost:4712/callback"},
        {"redirect_uri": None},
    ]
    errors = [(await desk.exchange(client_id, code, **change)).error for change in wrong]
    errors += [(await desk.exchange(other, code)).error, (await desk.exchange(client_id, "cbo_" + "x" * 46)).error]
    target = await desk.exchange(client_id, code, resource=f"{PUBLIC}/p/acme/other/mcp")
    missing = await desk.exchange(client_id, code, code_verifier=None)

    assert errors == ["invalid_grant"] * 5
    assert (target.error, missing.error) == ("invalid_target", "invalid_request")
    late = await desk.code(client_id, ann)
    assert (await desk.exchange(client_id, code)).status == 200
    clock.step(seconds=60)
    assert (await desk.exchange(client_id, late)).error == "invalid_grant"


async def test_every_process_of_a_client_can_refresh_with_the_same_token(desk: Desk) -> None:
    ann = await desk.office.join("ann", "user")
    client_id, tokens = await desk.signed_in(ann)

    answers = await asyncio.gather(*[desk.refresh(client_id, tokens["refresh_token"]) for _ in range(25)])

    assert {answer.status for answer in answers} == {200}
    # All are given the same next one, so none of them replaces another's.
    [following] = {answer.body["refresh_token"] for answer in answers}
    assert following != tokens["refresh_token"]
    assert len({answer.body["access_token"] for answer in answers}) == 25
    assert (await desk.refresh(client_id, following)).status == 200


async def test_a_refresh_token_that_was_replaced_ends_the_grant(desk: Desk, clock: SteppingClock) -> None:
    ann = await desk.office.join("ann", "user")
    client_id, tokens = await desk.signed_in(ann)
    first = tokens["refresh_token"]
    # The answer gets lost, for days: the first one is still good.
    await desk.refresh(client_id, first)
    clock.step(days=3)
    second = (await desk.refresh(client_id, first)).body["refresh_token"]
    clock.step(seconds=1)
    third = await desk.refresh(client_id, second)
    clock.step(seconds=59)
    assert (await desk.refresh(client_id, first)).status == 200

    clock.step(seconds=1)
    replayed = await desk.refresh(client_id, first)

    assert replayed.error == "invalid_grant"
    assert (await desk.refresh(client_id, third.body["refresh_token"])).error == "invalid_grant"
    await refused("auth.invalid", desk.live(third.body["access_token"]))
    [detected] = await desk.events("grant.refresh_replay_detected")
    assert detected["generation"] == 0
    assert [event["reason"] for event in await desk.events("grant.revoked")] == ["refresh_replayed"]


async def test_a_refresh_never_gives_more_than_was_granted(desk: Desk, clock: SteppingClock) -> None:
    ann = await desk.office.join("ann", "owner")
    client_id, tokens = await desk.signed_in(ann, scope="mcp:use mcp:read")
    refresh, other = tokens["refresh_token"], await desk.register()

    assert (await desk.refresh(client_id, refresh, scope="mcp:manage")).error == "invalid_scope"
    assert (await desk.refresh(client_id, refresh, resource=f"{PUBLIC}/mcp")).error == "invalid_target"
    assert (await desk.refresh(other, refresh)).error == "invalid_grant"
    assert (await desk.refresh(client_id, tokens["access_token"])).error == "invalid_grant"
    less = await desk.refresh(client_id, refresh, scope="mcp:use", resource=RESOURCE)
    assert less.body["scope"] == "mcp:use"
    again = await desk.refresh(client_id, less.body["refresh_token"])
    assert again.body["scope"] == "mcp:use mcp:read"
    clock.step(days=90)
    # The client is over as well by now, and has to register again.
    late = await desk.refresh(client_id, again.body["refresh_token"])
    assert (late.status, late.error) == (401, "invalid_client")


async def test_whoever_may_not_use_a_playbook_learns_nothing_of_it(stack: Stack, desk: Desk) -> None:
    await desk.office.edge.create("beta")
    await publish(stack, "beta", "secret")
    ann = await desk.office.join("ann", "owner")
    client_id = await desk.register()

    said = set()
    for resource in ("beta/secret", "beta/nothing", "nowhere/start", "acme/nothing"):
        request = await desk.request(client_id, resource=f"{PUBLIC}/p/{resource}/mcp")
        said.add(str((await refused("playbook.unknown", desk.consent(request, ann))).body()))
        said.add(str((await refused("playbook.unknown", desk.agree(request, ann))).body()))
        # The client may be told all the same that nothing came of it.
        answer = query_of(await desk.refuse(request, ann))
        assert answer == {"error": "access_denied", "state": "s 1", "iss": PUBLIC}

    assert len(said) == 1
    assert await desk.events("grant.consent_given") == []


async def test_only_the_session_that_was_asked_can_answer_and_only_once(desk: Desk, clock: SteppingClock) -> None:
    ann, eve = await desk.office.join("ann", "user"), await desk.office.join("eve", "owner")
    again = await desk.office.sign_in("ann@example.com")
    client_id = await desk.register()
    request = await desk.request(client_id)
    await desk.consent(request, ann)

    for other in (eve, again):
        await refused("consent.unknown", desk.consent(request, other))
        await refused("consent.unknown", desk.agree(request, other))
        await refused("consent.unknown", desk.refuse(request, other))
    answers = await asyncio.gather(*[desk.agree(request, ann) for _ in range(4)])
    await refused("consent.unknown", desk.refuse(request, ann))

    assert len(set(answers)) == 1, "a button that is pressed twice leads to where it led before"
    assert len(await desk.events("grant.consent_given")) == 1
    for other in (eve, again):
        await refused("consent.unknown", desk.agree(request, other))
    assert (await desk.exchange(client_id, query_of(answers[0])["code"])).status == 200
    await refused("consent.unknown", desk.agree(request, ann))
    assert await desk.events("grant.revoked") == []
    refusing = await desk.request(client_id)
    await desk.consent(refusing, ann)
    await desk.refuse(refusing, ann)
    await refused("consent.unknown", desk.agree(refusing, ann))
    late = await desk.request(client_id)
    clock.step(minutes=15)
    await refused("consent.unknown", desk.consent(late, ann))
    await refused("consent.unknown", desk.consent("x" * 43, ann))


async def test_a_token_of_the_api_cannot_agree_for_its_member(desk: Desk) -> None:
    ann = await desk.office.join("ann", "owner")
    issued = await desk.office.edge.issue(client=person_of(ann), scopes=("own",), by=key_of(ann))
    request = await desk.request(await desk.register())
    pretended = ann.signed_in.principal
    signed = type(pretended)(
        **{name: getattr(pretended, name) for name in pretended.__struct_fields__} | {"key_id": issued.key_id}
    )
    as_key = type(ann)(
        session="",
        signed_in=type(ann.signed_in)(
            principal=signed, person=ann.signed_in.person, csrf="", expires_at=ann.signed_in.expires_at
        ),
    )

    await refused("auth.forbidden", desk.agree(request, as_key))


async def test_a_member_who_goes_or_is_demoted_takes_the_grants_along(desk: Desk) -> None:
    ann, bob = await desk.office.join("ann", "owner"), await desk.office.join("bob", "manager")
    client_id, tokens = await desk.signed_in(bob, scope="mcp:manage")
    gid = claims_of(tokens["access_token"])["gid"]
    await desk.office.listen()
    assert can(await desk.live(tokens["access_token"]), "manage", "acme", "start")

    await desk.office.give_role(person_of(bob), "user", by=key_of(ann))
    await promised(lambda: gid in desk.office.changed, within=2)
    demoted = await desk.live(tokens["access_token"])
    await desk.office.remove(person_of(bob), by=key_of(ann))
    await promised(lambda: gid in desk.office.revoked, within=2)

    assert can(demoted, "use", "acme", "start")
    assert not can(demoted, "read", "acme", "start")
    await refused("auth.invalid", desk.live(tokens["access_token"]))
    assert (await desk.refresh(client_id, tokens["refresh_token"])).error == "invalid_grant"


@pytest.mark.parametrize("way", ["changed", "reset"])
async def test_with_another_password_everything_that_clients_were_granted_ends(desk: Desk, way: str) -> None:
    ann, bob = await desk.office.join("ann", "owner"), await desk.office.join("bob", "user")
    client_id, tokens = await desk.signed_in(ann)
    nowhere, others = (await desk.signed_in(ann, resource=None))[1], (await desk.signed_in(bob))[1]
    gid = claims_of(tokens["access_token"])["gid"]
    await desk.office.listen()

    if way == "changed":
        change = ChangePassword(session=ann.session, current=PASSWORD, password="another long password")
        await desk.bus.ask(CHANGE_PASSWORD, change, SessionOpened)
    else:
        link = (await desk.bus.ask(OFFER_RESET, OfferReset(email="ann@example.com"), ResetOffered)).token
        await desk.bus.ask(RESET_PASSWORD, ResetPassword(token=link, password="another long password"), Done)

    await refused("auth.invalid", desk.live(tokens["access_token"]))
    assert (await desk.refresh(client_id, tokens["refresh_token"])).error == "invalid_grant"
    ended = {claims_of(each["access_token"])["gid"] for each in (tokens, nowhere)}
    await promised(lambda: ended <= set(desk.office.revoked), within=2)
    told = [(event["grant"], event["reason"]) for event in await desk.events("grant.revoked")]
    assert told == [(gid, "password")]
    await desk.live(others["access_token"])


async def test_a_grant_is_live_for_its_own_token_only(desk: Desk) -> None:
    ann = await desk.office.join("ann", "user")
    _, tokens = await desk.signed_in(ann)
    claims = claims_of(tokens["access_token"])

    for name in ("gid", "client_id", "sub", "org", "aud"):
        forged = {**claims, name: claims[name] + "x"}
        await refused("auth.invalid", desk.live(forged_token(forged)))


def forged_token(claims: dict[str, Any]) -> str:
    """The claims alone, as `Desk.live` reads them."""
    return "." + base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=") + "."


async def test_without_a_resource_a_token_opens_nothing(desk: Desk) -> None:
    ann = await desk.office.join("ann", "owner")

    client_id, tokens = await desk.signed_in(ann, resource=None)

    claims = claims_of(tokens["access_token"])
    assert (claims["aud"], claims["org"]) == (PUBLIC, "")
    await refused("auth.invalid", desk.live(tokens["access_token"]))
    assert await desk.events("grant.consent_given") == []
    assert (await desk.refresh(client_id, tokens["refresh_token"])).status == 200


async def test_for_all_playbooks_a_person_of_several_organisations_chooses_one(stack: Stack, desk: Desk) -> None:
    await desk.office.edge.create("beta")
    ann = await desk.office.join("ann", "owner")
    other = await desk.office.invite("user", organisation="beta")
    accept = AcceptInvitation(command_id=new_id(), token=other.token, session=ann.session)
    await desk.bus.ask(ACCEPT_INVITATION, accept, Joined)
    client_id = await desk.register()
    request = await desk.request(client_id, resource=f"{PUBLIC}/mcp")

    shown = await desk.consent(request, ann)
    await refused("argument.invalid", desk.agree(request, ann))
    await refused("argument.invalid", desk.agree(request, ann, "gamma"))
    answer = query_of(await desk.agree(request, ann, "beta"))

    assert (shown.union, shown.organisations, shown.organisation) == (True, ("acme", "beta"), "")
    tokens = (await desk.exchange(client_id, answer["code"])).body
    principal = await desk.live(tokens["access_token"])
    assert (principal.organisation, principal.playbooks) == ("beta", ())
    assert not can(principal, "use", "acme")


async def test_grants_are_listed_and_ended_by_whose_they_are_and_by_who_manages_tokens(desk: Desk) -> None:
    owner = await desk.office.join("ann", "owner")
    bob, eve = await desk.office.join("bob", "user"), await desk.office.join("eve", "viewer")
    client_id, tokens = await desk.signed_in(bob)
    _, others = await desk.signed_in(bob)
    gid = claims_of(tokens["access_token"])["gid"]
    await desk.office.listen()

    def ending(by: str, grant: str = gid, organisation: str = "acme") -> Any:
        command = RevokeGrant(command_id=new_id(), organisation=organisation, grant=grant, actor="x", by=by)
        return desk.bus.ask(subjects.REVOKE_GRANT, command, Done)

    await refused("auth.forbidden", ending(key_of(eve)))
    await refused("grant.unknown", ending(key_of(owner), "grant-x"))
    await refused("grant.unknown", ending(key_of(owner), organisation="beta"))
    assert (await ending(key_of(bob))).seq > 0
    assert (await ending(key_of(bob))).seq == 0
    assert (await ending(key_of(owner), claims_of(others["access_token"])["gid"])).seq > 0

    await promised(lambda: gid in desk.office.revoked, within=2)
    await refused("auth.invalid", desk.live(tokens["access_token"]))
    assert (await desk.refresh(client_id, tokens["refresh_token"])).error == "invalid_grant"
    lines = (await grants_of(desk, organisation="acme")).grants
    assert sorted(line.reason for line in lines) == ["administrator", "person"]
    assert [line.grant for line in (await grants_of(desk, member=person_of(bob))).grants] == [x.grant for x in lines]
    assert (await grants_of(desk, member=person_of(eve))).grants == ()
    assert (await grants_of(desk)).grants == ()


async def test_an_administrator_of_the_installation_may_agree(stack: Stack, clock: SteppingClock) -> None:
    login = {"admin_email": "root@example.com", "admin_password": Sensitive("correct horse battery")}
    desk = await desk_of(stack, clock, **login)
    root = await desk.office.sign_in("root@example.com")

    _, tokens = await desk.signed_in(root)

    principal = await desk.live(tokens["access_token"])
    assert (principal.organisation, principal.grants) == ("acme", None)
    assert can(principal, "use", "acme", "start")
    assert not can(principal, "administer")
    assert not can(principal, "use", "beta", "start")
    union = await desk.request(await desk.register(), resource=f"{PUBLIC}/mcp")
    await refused("playbook.unknown", desk.consent(union, root))
