"""The rules of the authorization server, without any IO."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from joserfc.jwk import ECKey, RSAKey

from callboard.contracts.access_events import ConsentGiven, GrantRevoked, RefreshReplayDetected
from callboard.contracts.problems import Problem
from callboard.kernel.access_tokens import BASELINE, SCOPES
from callboard_authsvc.oauth_server import client as clients
from callboard_authsvc.oauth_server import domain
from callboard_authsvc.settings import AuthsvcSettings
from tests.authsvc.given import Given

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
PUBLIC = "https://callboard.example"
# RFC 7636, appendix B.
VERIFIER, CHALLENGE = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
URL = "https://client.example/oauth/metadata.json"
DOCUMENT: dict[str, Any] = {
    "client_id": URL,
    "client_name": "Client",
    "redirect_uris": ["http://127.0.0.1/callback"],
}
GRANT = domain.Grant(
    gid="grant-1",
    organisation="acme",
    member="person-ann",
    client_id="client-1",
    client_name="Agent",
    means="consent",
    playbook="start",
    resource=f"{PUBLIC}/p/acme/start/mcp",
    scopes=("mcp:use",),
    created_at=NOON,
)


def error_of(problem: pytest.ExceptionInfo[Problem]) -> str:
    assert problem.value.code == "oauth.refused"
    return str(problem.value.data["error"])


@pytest.mark.parametrize(
    ("resource", "place"),
    [
        (f"{PUBLIC}/p/acme/start/mcp", ("acme", "start", False)),
        (f"{PUBLIC}/p/acme/start/mcp/", ("acme", "start", False)),
        ("HTTPS://Callboard.Example/p/acme/start/mcp", ("acme", "start", False)),
        (f"{PUBLIC}/mcp", ("", "", True)),
        ("", ("", "", False)),
    ],
)
def test_a_resource_is_one_playbook_or_all_that_the_person_has_or_nothing(resource: str, place: Any) -> None:
    found = domain.place_of(PUBLIC, resource)

    assert (found.organisation, found.playbook, found.union) == place
    canonical = {"": PUBLIC, f"{PUBLIC}/mcp": f"{PUBLIC}/mcp"}.get(resource, f"{PUBLIC}/p/acme/start/mcp")
    assert found.resource == canonical


@pytest.mark.parametrize(
    "resource",
    [
        PUBLIC,
        f"{PUBLIC}/p/acme/start",
        f"{PUBLIC}/p/acme/start/mcp//",
        f"{PUBLIC}/p/acme/start/mcp?x=1",
        f"{PUBLIC}/p/acme/start/mcp#x",
        f"{PUBLIC}/p/acme/../mcp",
        f"{PUBLIC}/p/acme/*/mcp",
        "https://evil.example/p/acme/start/mcp",
        "http://callboard.example/p/acme/start/mcp",
        "https://callboard.example:444/p/acme/start/mcp",
        "acme/start",
    ],
)
def test_no_other_resource_gets_a_token(resource: str) -> None:
    with pytest.raises(Problem) as problem:
        domain.place_of(PUBLIC, resource)
    assert error_of(problem) == "invalid_target"


def test_a_person_is_told_of_every_scope_in_words() -> None:
    assert set(domain.WORDS) == set(SCOPES)
    assert domain.scopes_wanted(()) == domain.scopes_wanted(("offline_access",)) == BASELINE


def test_a_grant_is_not_good_for_another_resource() -> None:
    domain.check_same_resource(PUBLIC, "", GRANT)
    domain.check_same_resource(PUBLIC, GRANT.resource + "/", GRANT)
    with pytest.raises(Problem) as problem:
        domain.check_same_resource(PUBLIC, f"{PUBLIC}/p/acme/other/mcp", GRANT)
    assert error_of(problem) == "invalid_target"


@pytest.mark.parametrize(
    ("verifier", "good"),
    [
        (VERIFIER, True),
        (CHALLENGE, False),
        (VERIFIER + "x", False),
        (VERIFIER[:-1], False),
        ("", False),
        (VERIFIER + "\n", False),
        ("x" * 129, False),
    ],
)
def test_only_the_verifier_behind_the_challenge_fits(verifier: str, good: bool) -> None:
    assert domain.answers_challenge(verifier, CHALLENGE) is good


def test_a_verifier_that_is_its_own_challenge_does_not_fit() -> None:
    """As it would with `plain`."""
    assert not domain.answers_challenge(CHALLENGE, CHALLENGE)
    for bad in ("", "short", CHALLENGE + "x", CHALLENGE[:-1] + "="):
        with pytest.raises(Problem) as problem:
            domain.check_challenge(bad)
        assert error_of(problem) == "invalid_request"


def code(**changes: Any) -> domain.Code:
    values: dict[str, Any] = {
        "grant": GRANT,
        "redirect_uri": "http://localhost:1/cb",
        "named": True,
        "challenge": CHALLENGE,
        "expires_at": NOON,
    }
    return domain.Code(**(values | changes))


def test_a_code_is_for_one_client_one_redirect_uri_one_verifier_and_a_minute() -> None:
    before, uri = NOON - timedelta(seconds=1), "http://localhost:1/cb"
    domain.check_code(code(), "client-1", uri, VERIFIER, before)
    domain.check_code(code(named=False), "client-1", "", VERIFIER, before)
    ended = domain.Grant(**{name: getattr(GRANT, name) for name in GRANT.__struct_fields__} | {"revoked_at": NOON})
    wrong: list[tuple[domain.Code, str, str, str, datetime]] = [
        (code(), "client-2", uri, VERIFIER, before),
        (code(), "client-1", "http://localhost:2/cb", VERIFIER, before),
        (code(), "client-1", "", VERIFIER, before),
        (code(named=False), "client-1", "http://localhost:2/cb", VERIFIER, before),
        (code(), "client-1", uri, CHALLENGE, before),
        (code(), "client-1", uri, VERIFIER, NOON),
        (code(grant=ended), "client-1", uri, VERIFIER, before),
    ]
    for arguments in wrong:
        with pytest.raises(Problem) as problem:
            domain.check_code(*arguments)
        assert error_of(problem) == "invalid_grant"


@pytest.mark.parametrize(("followed", "replay"), [(None, False), (0, False), (-59, False), (-60, True), (-3600, True)])
def test_a_refresh_token_is_good_until_a_minute_after_the_next_one_was_used(followed: int | None, replay: bool) -> None:
    at = None if followed is None else NOON + timedelta(seconds=followed)
    refresh = domain.Refresh(grant=GRANT, generation=3, expires_at=NOON + timedelta(days=1), followed_at=at)
    assert domain.is_replay(refresh, NOON) is replay


def test_the_next_refresh_token_follows_from_the_one_presented_and_from_a_key() -> None:
    first = domain.next_random(b"k" * 32, "a")
    assert first == domain.next_random(b"k" * 32, "a")
    assert len({first, domain.next_random(b"k" * 32, "b"), domain.next_random(b"l" * 32, "a")}) == 3
    assert len(first) == 40


def test_the_answer_to_a_client_always_says_who_gives_it() -> None:
    request = domain.Request(
        client_id="c",
        redirect_uri="https://c.example/cb?x=1",
        named=True,
        challenge=CHALLENGE,
        scopes=("mcp:use",),
        resource="",
        expires_at=NOON,
        state="a b&c",
    )
    assert domain.answer_url(request, PUBLIC, code="k") == (
        "https://c.example/cb?x=1&code=k&iss=https%3A%2F%2Fcallboard.example&state=a%20b%26c"
    )


def test_the_log_says_who_agreed_and_why_it_ended() -> None:
    given = ConsentGiven(
        grant="grant-1",
        member="person-ann",
        client_id="client-1",
        client_name="Agent",
        playbook="start",
        scopes=("mcp:use",),
    )
    Given(domain.GRANT).when(domain.Give(grant=GRANT)).then(given)
    end = domain.End(gid="grant-1", member="person-ann", reason="refresh_replayed", generation=2)
    revoked = GrantRevoked(grant="grant-1", member="person-ann", reason="refresh_replayed")
    Given(domain.GRANT, given).when(end).then(RefreshReplayDetected(grant="grant-1", generation=2), revoked)
    Given(domain.GRANT, given, revoked).when(end).then()


def described(said: Any, headers: dict[str, str] | None = None) -> clients.Client:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    return clients.client_of_document(URL, body, headers or {}, frozenset(), NOON)


def test_a_metadata_document_describes_a_client() -> None:
    client = described(DOCUMENT | {"token_endpoint_auth_method": "none"}, {"cache-control": "public, max-age=7200"})

    assert (client.client_id, client.kind, client.name, client.auth_method) == (URL, "document", "Client", "none")
    assert client.redirect_uris == ("http://127.0.0.1/callback",)
    assert client.fresh_until == NOON + timedelta(hours=2)


@pytest.mark.parametrize(
    "said",
    [
        b"<html>",
        b"[]",
        b"[" * 100_000,
        DOCUMENT | {"client_id": URL + "/"},
        DOCUMENT | {"client_id": URL.upper()},
        DOCUMENT | {"client_secret": "s"},
        DOCUMENT | {"token_endpoint_auth_method": "client_secret_basic"},
        DOCUMENT | {"token_endpoint_auth_method": "client_secret_post"},
        DOCUMENT | {"redirect_uris": []},
        DOCUMENT | {"redirect_uris": "http://127.0.0.1/callback"},
        DOCUMENT | {"redirect_uris": ["http://127.0.0.1/callback", "javascript:alert(1)"]},
        {"client_id": URL},
    ],
)
def test_a_document_that_does_not_do_as_it_should_is_no_client(said: Any) -> None:
    with pytest.raises(Problem) as problem:
        described(said)
    assert error_of(problem) == "invalid_client"


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        ("", timedelta(minutes=5)),
        ("no-store", timedelta(minutes=5)),
        ("max-age=0", timedelta(minutes=5)),
        ("max-age=600", timedelta(minutes=10)),
        ("public, MAX-AGE=999999999", timedelta(hours=24)),
        ("s-maxage=9999", timedelta(minutes=5)),
    ],
)
def test_a_document_is_kept_for_minutes_at_least_and_for_a_day_at_most(header: str, kept: timedelta) -> None:
    assert clients.fresh_for({"cache-control": header}) == kept


@pytest.mark.parametrize(
    ("client_id", "good"),
    [
        (URL, True),
        ("https://client.example/x", True),
        ("https://client.example", False),
        ("https://client.example/", False),
        ("http://client.example/x", False),
        ("https://client.example/a/../x", False),
        ("https://client.example/a/./x", False),
        ("https://client.example/%2e%2e/x", False),
        ("https://client.example/x#y", False),
        ("https://u:p@client.example/x", False),
        ("https://client.example:99999/x", False),
        ("https://client.example/x y", False),
        ("https://client.example\\x/y", False),
        ("https:///x", False),
    ],
)
def test_only_plain_https_urls_with_a_path_are_fetched(client_id: str, good: bool) -> None:
    assert clients.is_document_url(client_id) is good


def test_a_client_that_nobody_uses_is_over() -> None:
    client = described(DOCUMENT)
    made = {name: getattr(client, name) for name in client.__struct_fields__} | {"kind": "dynamic"}

    def live(now: datetime, **changes: Any) -> bool:
        return clients.is_live(clients.Client(**(made | changes)), now)

    assert live(NOON + timedelta(hours=23))
    assert not live(NOON + timedelta(hours=24))
    assert live(NOON + timedelta(days=89), used_at=NOON)
    assert not live(NOON + timedelta(days=90), used_at=NOON)
    assert live(NOON + timedelta(days=900), kind="service")
    assert not live(NOON, kind="service", removed_at=NOON)


def test_settings_name_programs_and_providers_and_nothing_worse() -> None:
    assert clients.parse_private_uris("app.example:/cb, other://cb") == {"app.example:/cb", "other://cb"}
    for bad in ("https://x/cb", "javascript:alert(1)", "data:x", "callback", "http://evil/"):
        with pytest.raises(ValueError, match="private scheme"):
            clients.parse_private_uris(bad)
    assert clients.parse_trusted("https://idp.example=acme") == {"https://idp.example": "acme"}
    for bad in ("https://idp.example", "http://idp.example=acme", "https://a.example=acme,https://a.example=beta"):
        with pytest.raises(ValueError, match="ISSUER=ORGANISATION"):
            clients.parse_trusted(bad)


def test_production_does_not_allow_clients_every_private_address() -> None:
    with pytest.raises(ValueError, match="PRIVATE_CLIENTS"):
        AuthsvcSettings(production=True, private_clients="*")
    assert AuthsvcSettings(production=True, private_clients="127.0.0.1").private_clients


@pytest.mark.parametrize(
    "keys",
    [
        "",
        "{}",
        '{"keys":[]}',
        '{"keys":[{"kty":"oct","k":"AAAA"}]}',
        '{"keys":[{"kty":"EC","crv":"P-256","x":"a","y":"b","d":"c"}]}',
        '{"keys":[{"kty":"EC"}]}',
        '{"keys":[{"kty":"RSA","n":"","e":"AQAB"}]}',
        '{"keys":[{"kty":"RSA","n":"AQ","e":"AQAB"}]}',
        '{"keys":[{"kty":"EC","crv":"P-256","x":"AQ","y":"AQ"}]}',
        '{"keys":[{"kty":"EC","crv":5,"x":"AQ","y":"AQ"}]}',
        '{"keys":[{"kty":"EC","crv":"P-0","x":"AQ","y":"AQ"}]}',
        '{"keys":[{"kty":"RSA","n":[1],"e":{}}]}',
        json.dumps({"keys": [{"kty": "RSA", "n": "_" * 340 + "8", "e": "AQAB"}]}),
    ],
)
def test_keys_of_a_client_are_public_ones(keys: str) -> None:
    with pytest.raises(Problem, match="public EC keys, or RSA keys of 2048 bits"):
        clients.checked_keys(keys)


@pytest.mark.parametrize("key", [ECKey.generate_key("P-256"), ECKey.generate_key("P-384"), RSAKey.generate_key(2048)])
def test_keys_that_can_check_signatures_are_taken(key: ECKey | RSAKey) -> None:
    text = json.dumps({"keys": [key.as_dict(private=False)]})

    assert clients.checked_keys(text) == text
