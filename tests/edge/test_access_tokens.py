"""An edge takes the access tokens that our authorization server signed for this very playbook, and no others."""

from __future__ import annotations

import asyncio
import base64
import time
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import OctKey

from callboard.contracts import signing_subjects as subjects
from callboard.contracts import subjects as all_subjects
from callboard.contracts.problems import CODES, Problem
from callboard.kernel.access_tokens import AccessClaims, narrowed, resource_of, resource_url
from callboard_authsvc.signing.material import make
from callboard_edge.auth import signing_keys
from callboard_edge.auth.verify import Tokens
from callboard_edge.mcp.answers import PROBLEM_STATUS, challenge
from callboard_edge.mcp.gate import call_expiry_of, expiry_of
from tests.edge.issuing import PUBLIC, TOKEN, Issuer, principal

HERE = ("acme", "start")


async def refused(tokens: Tokens, token: str, entering: tuple[str, str] | None = HERE) -> str:
    with pytest.raises(Problem) as refusal:
        await tokens.authenticate(f"Bearer {token}", entering)
    return refusal.value.code


def segment(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(value)).rstrip(b"=").decode()


async def test_a_good_token_is_its_grant_narrowed_to_its_scope_and_playbook() -> None:
    issuer = Issuer()
    issuer.grants["g1"] = principal("g1", playbooks=("start", "other"))
    found = await issuer.edge().authenticate(f"Bearer {issuer.token()}", HERE)
    assert (found.key_id, found.organisation, found.member) == ("g1", "acme", "m1")
    assert (found.scopes, found.playbooks, found.renewed) == (("use",), ("start",), True)
    assert found.expires_at is not None


HEADERS: dict[str, dict[str, Any]] = {
    "a type of other tokens": {"typ": "JWT"},
    "an id token": {"typ": "id+jwt"},
    "no type": {"typ": None},
    "no kid": {"kid": None},
    "a kid that is no text": {"kid": 1},
    "a kid nobody has": {"kid": "k9"},
    "a key set elsewhere": {"jku": "https://evil.example/jwks.json"},
    "a certificate elsewhere": {"x5u": "https://evil.example/cert"},
    "a certificate in the header": {"x5c": ["MIIB"]},
    "a critical extension": {"crit": ["exp"], "exp": 1},
    "an embedded key": {"jwk": {"kty": "EC", "crv": "P-256", "x": make("k1").x, "y": make("k1").y}},
}


@pytest.mark.parametrize("name", HEADERS)
async def test_a_header_that_says_anything_else_is_refused(name: str) -> None:
    issuer = Issuer()
    assert await refused(issuer.edge(), issuer.token(header=HEADERS[name])) == "auth.invalid"


async def test_an_embedded_key_does_not_vouch_for_itself() -> None:
    issuer, own = Issuer(), make("k1")
    embedded = {"jwk": {"kty": "EC", "crv": "P-256", "x": own.x, "y": own.y}}
    assert await refused(issuer.edge(), issuer.token(key=own, header=embedded)) == "auth.invalid"
    assert await refused(issuer.edge(), issuer.token(key=own)) == "auth.invalid", "another key under a known id"


async def test_no_signature_and_a_signature_with_the_public_key_as_secret_are_refused() -> None:
    issuer = Issuer()
    claims, public = issuer.claims(), issuer.keys[0]
    none = f"{segment({'alg': 'none', 'typ': 'at+jwt', 'kid': 'k1'})}.{segment(claims)}."
    assert await refused(issuer.edge(), none) == "auth.invalid"
    for secret in (public.x, public.y, msgspec.json.encode({"x": public.x}).decode()):
        head = {"alg": "HS256", "typ": "at+jwt", "kid": "k1"}
        key = OctKey.import_key(secret + " " * 32)
        hashed = jws.serialize_compact(head, msgspec.json.encode(claims), key, algorithms=["HS256"])
        assert await refused(issuer.edge(), hashed) == "auth.invalid"


@given(st.data())
async def test_any_altered_character_is_refused(data: st.DataObject) -> None:
    issuer = Issuer()
    token = issuer.token()
    # The last character of each part holds bits that mean nothing.
    ends = {len(token) - 1, *(place - 1 for place, letter in enumerate(token) if letter == ".")}
    place = data.draw(st.sampled_from([n for n in range(len(token)) if token[n] != "." and n not in ends]))
    letter = data.draw(st.sampled_from("ABCxyz019-_").filter(lambda letter: letter != token[place]))
    assert await refused(issuer.edge(), token[:place] + letter + token[place + 1 :]) == "auth.invalid"


NOW = int(time.time())
CLAIMS: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://other.example"},
    "an issuer with a slash more": {"iss": f"{PUBLIC}/"},
    "an issuer in capitals": {"iss": PUBLIC.upper()},
    "another playbook": {"aud": resource_url(PUBLIC, "acme", "other")},
    "a playbook of another organisation": {"aud": resource_url(PUBLIC, "globex", "start")},
    "the union": {"aud": resource_url(PUBLIC)},
    "the issuer alone": {"aud": PUBLIC},
    "another host": {"aud": resource_url("https://other.example", "acme", "start")},
    "plain http": {"aud": resource_url(PUBLIC.replace("https", "http"), "acme", "start")},
    "a path that begins alike": {"aud": f"{PUBLIC}/p/acme/start/mcp/x"},
    "two slashes": {"aud": f"{PUBLIC}/p/acme/start/mcp//"},
    "a query": {"aud": f"{PUBLIC}/p/acme/start/mcp?x=1"},
    "several audiences": {"aud": [resource_url(PUBLIC, "acme", "start"), "https://evil.example"]},
    "no audience": {"aud": None},
    "expired": {"iat": NOW - 700, "exp": NOW - 40},
    "no expiry": {"exp": None},
    "an expiry that is no number": {"exp": "never"},
    "of tomorrow": {"iat": NOW + 86_400, "exp": NOW + 86_500},
    "longer than any we mint": {"exp": NOW + 90_000},
    "a grant that is over": {"gid": "g0"},
    "somebody else": {"sub": "m2"},
    "another client": {"client_id": "c2"},
    "another organisation": {"org": "globex"},
    "no grant": {"gid": None},
}


@pytest.mark.parametrize("name", CLAIMS)
async def test_a_token_that_was_signed_for_something_else_is_refused(name: str) -> None:
    issuer = Issuer()
    assert await refused(issuer.edge(), issuer.token(**CLAIMS[name])) == "auth.invalid"


@pytest.mark.parametrize("aud", ["/p/acme/start/mcp", "/p/acme/start/mcp/", "/p/acme/start@3/mcp", "/p/acme/start/sse"])
async def test_every_url_of_the_playbook_is_the_playbook(aud: str) -> None:
    issuer = Issuer()
    assert await issuer.edge().authenticate(f"Bearer {issuer.token(aud=PUBLIC + aud)}", HERE)


async def test_a_clock_may_be_half_a_minute_off() -> None:
    issuer = Issuer()
    late = issuer.token(iat=NOW - 600, exp=int(time.time()) - 20)
    early = issuer.token(iat=int(time.time()) + 20)
    for token in (late, early):
        assert await issuer.edge().authenticate(f"Bearer {token}", HERE)


async def test_a_call_may_end_after_an_access_token_and_a_stream_ends_with_it() -> None:
    """Others of the same grant follow it; a call of an hour's last minute would be cancelled for nothing."""
    issuer = Issuer()
    claims = issuer.claims()
    found = await issuer.edge().authenticate(f"Bearer {issuer.token(exp=claims['exp'])}", HERE)
    assert (call_expiry_of(found), expiry_of(found)) == (None, claims["exp"] + 30)
    until = datetime.now(UTC)
    looked_up = principal("key-1", expires_at=until)
    assert call_expiry_of(looked_up) == expiry_of(looked_up) == until.timestamp()


async def test_a_known_token_is_good_at_its_own_place_only_and_nobody_is_asked_again() -> None:
    issuer = Issuer()
    tokens, token = issuer.edge(), issuer.token()
    first = await tokens.authenticate(f"Bearer {token}", HERE)
    for elsewhere in (("acme", "other"), ("globex", "start"), ("", ""), None):
        assert await refused(tokens, token, elsewhere) == "auth.invalid"
    assert await tokens.authenticate(f"Bearer {token}", HERE) is first
    assert issuer.asked == {subjects.SIGNING_KEYS: 1, subjects.VERIFY_GRANT: 1}


async def test_a_token_for_all_playbooks_opens_the_union_and_no_single_one() -> None:
    issuer = Issuer()
    tokens, token = issuer.edge(), issuer.token(aud=resource_url(PUBLIC))
    assert (await tokens.authenticate(f"Bearer {token}", ("", ""))).playbooks == ()
    assert await refused(tokens, token) == "auth.invalid"


async def test_a_revoked_grant_is_forgotten_with_all_its_tokens() -> None:
    issuer = Issuer()
    tokens, token, second = issuer.edge(), issuer.token(), issuer.token(jti="j2")
    for each in (token, second):
        await tokens.authenticate(f"Bearer {each}", HERE)
    del issuer.grants["g1"]
    tokens.forget("g1")
    for each in (token, second):
        assert await refused(tokens, each) == "auth.invalid"


async def test_a_known_token_ends_when_it_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    issuer = Issuer()
    tokens, token = issuer.edge(), issuer.token(exp=int(time.time()) + 5)
    await tokens.authenticate(f"Bearer {token}", HERE)
    later = time.time() + 5 + 31
    monkeypatch.setattr(time, "time", lambda: later)
    assert await refused(tokens, token) == "auth.invalid"


async def test_a_known_token_is_asked_about_again_after_a_while_and_meanwhile_good() -> None:
    issuer = Issuer()
    tokens = issuer.edge(soft=0.0)
    for _ in range(2):
        assert (await tokens.authenticate(f"Bearer {TOKEN}", HERE)).key_id == "key-1"
    await asyncio.gather(*tokens._refreshes)
    assert issuer.asked == {all_subjects.VERIFY_TOKEN: 2}


async def test_no_token_is_good_for_longer_than_the_hard_limit_without_being_asked_about_whatever_the_soft_one() -> (
    None
):
    issuer = Issuer()
    tokens = issuer.edge(soft=15.0, hard=0.0)
    for _ in range(2):
        await tokens.authenticate(f"Bearer {TOKEN}", HERE)
    assert issuer.asked == {all_subjects.VERIFY_TOKEN: 2}


async def test_a_scope_narrows_and_never_adds() -> None:
    issuer = Issuer()
    for scope, scopes in (("mcp:read", ("read",)), ("mcp:manage", ()), ("offline_access other", ()), ("", ())):
        found = await issuer.edge().authenticate(f"Bearer {issuer.token(scope=scope)}", HERE)
        assert found.scopes == scopes
    assert narrowed(("own",), "mcp:manage mcp:use") == ("use", "manage")


async def test_unknown_keys_are_asked_for_once_in_a_while_however_many_tokens_name_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    issuer = Issuer()
    tokens = issuer.edge()
    await tokens.authenticate(f"Bearer {issuer.token()}", HERE)
    for number in range(20):
        assert await refused(tokens, issuer.token(header={"kid": f"x{number}"})) == "auth.invalid"
    assert issuer.asked[subjects.SIGNING_KEYS] == 1, "the set is younger than a minute"

    monkeypatch.setattr(signing_keys, "PAUSE_SECONDS", 0.0)
    issuer.keys.append(make("k2"))
    assert await tokens.authenticate(f"Bearer {issuer.token()}", HERE)
    assert issuer.asked[subjects.SIGNING_KEYS] == 2


async def test_a_key_that_was_taken_away_is_refused_as_soon_as_it_is_told() -> None:
    issuer = Issuer()
    bus: Any = issuer
    keys = signing_keys.SigningKeySet(bus)
    assert await keys.key("k1") is not None
    issuer.keys = [make("k2")]
    assert await keys.key("k1") is not None, "nobody told it"
    keys.forget()
    assert await keys.key("k1") is None
    assert await keys.key("k2") is not None
    assert b'"d"' not in await keys.jwks()
    assert [key["kid"] for key in msgspec.json.decode(await keys.jwks())["keys"]] == ["k2"]


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Bearer a b", "Bearer \u00e9", "Bearer a,b"])
async def test_what_is_no_token_at_all_is_malformed(header: str) -> None:
    with pytest.raises(Problem) as refusal:
        await Issuer().edge().authenticate(header, HERE)
    assert refusal.value.code == "auth.malformed"


async def test_tokens_that_are_looked_up_go_on_working_everywhere() -> None:
    issuer = Issuer()
    tokens = issuer.edge()
    for entering in (HERE, ("acme", "other"), ("", ""), None):
        assert (await tokens.authenticate(f"Bearer {TOKEN}", entering)).key_id == "key-1"


def test_claims_are_what_the_contract_of_the_authorization_server_says() -> None:
    assert AccessClaims.__struct_fields__ == (
        *("iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope", "org", "gid"),
    )
    assert resource_of(PUBLIC, resource_url(f"{PUBLIC}/", "acme", "start")) == HERE
    assert resource_of(PUBLIC, "HTTPS://GATE.EXAMPLE/p/acme/start/mcp") == HERE
    assert resource_of(PUBLIC, resource_url(PUBLIC)) == ("", "")
    for url in ("", "mcp", f"{PUBLIC}/p/acme/UP/mcp", f"{PUBLIC}/p/acme/start@x/mcp", "https://[", f"{PUBLIC}#/mcp"):
        assert resource_of(PUBLIC, url) is None


def test_only_what_a_client_can_mend_by_signing_in_has_a_challenge() -> None:
    """An upstream's 401 is `server.sign_in_needed`; a client would throw its own token away for a challenge."""
    challenged = {code for code in CODES if challenge(code) is not None}
    assert challenged == {"auth.required", "auth.invalid", "auth.scope_insufficient"}
    assert {code for code, status in PROBLEM_STATUS.items() if status == 401} == {"auth.required", "auth.invalid"}
