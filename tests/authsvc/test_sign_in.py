"""Signing in to an upstream that wants tokens: the whole way, and everything on it that must be refused."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from callboard.contracts.definitions import SecretRef, ServerDefinition, UpstreamOAuth
from callboard.contracts.problems import Problem
from callboard.contracts.upstream_sign_in import AskSignIn, AskUpstreamToken, BeginSignIn, OpenSignIn, UpstreamToken
from callboard_authsvc.upstream_oauth.begin import begin_sign_in, show_sign_in
from callboard_authsvc.upstream_oauth.domain import (
    Client,
    Discovered,
    Grant,
    ServerMetadata,
    TokenRefused,
    Tokens,
    Whose,
    canonical,
    challenge_of,
    granted,
    is_resource_of,
    issuer_metadata_urls,
    resource_metadata_urls,
    tokens_of,
    union,
)
from callboard_authsvc.upstream_oauth.finish import finish_sign_in
from callboard_authsvc.upstream_oauth.link import open_sign_in
from callboard_authsvc.upstream_oauth.ports import SignInDependencies
from callboard_authsvc.upstream_oauth.usable import usable_token
from tests.authsvc.stack import refused
from tests.support.guarded import Guarded, guarded
from tests.support.signing_in import BROWSER, PERSON, Memory, Nobody, answer_in, consented, wired

ALICE = Whose("acme", "wiki", "alice")


class Wiki:
    """A server, and authsvc for it without a bus or a database."""

    def __init__(self, server: Guarded, **oauth: Any) -> None:
        self.server = server
        self.memory = Memory()
        self.use: SignInDependencies = wired(self.memory)
        self.define(**oauth)

    def define(self, **oauth: Any) -> None:
        definition = ServerDefinition(url=self.server.url, oauth=UpstreamOAuth(**oauth))
        self.memory.definitions["acme", "wiki"] = definition

    async def token(self, subject: str = "alice", **refusal: Any) -> UpstreamToken:
        question = AskUpstreamToken(
            organisation="acme", server="wiki", subject=subject, attended=bool(subject), **refusal
        )
        return await usable_token(question, self.use)

    @property
    def challenge(self) -> str:
        return f'Bearer resource_metadata="{self.server.origin}/.well-known/oauth-protected-resource/mcp"'

    async def link(self, subject: str = "alice") -> str:
        needed = await refused("server.sign_in_needed", self.token(subject, status=401, challenge=self.challenge))
        return str(needed.data["url"])

    async def signed_in(self, subject: str = "alice") -> UpstreamToken:
        await consented(await self.link(subject), self.use)
        return await self.token(subject)

    async def begun(self) -> str:
        """The browser is on its way to the authorization server; the URL it is sent to."""
        handle = (await self.link()).rpartition("/")[2]
        return (await begin_sign_in(BeginSignIn(handle=handle, browser=BROWSER, person=PERSON), self.use)).url

    async def sent_back(self) -> str:
        return (await self.use.fetch("GET", await self.begun())).headers["location"]


@pytest_asyncio.fixture
async def wiki() -> AsyncIterator[Wiki]:
    async with guarded() as server:
        yield Wiki(server)


async def test_nobody_is_asked_before_the_server_wants_a_token(wiki: Wiki) -> None:
    assert await wiki.token() == UpstreamToken()


async def test_a_caller_signs_in_and_the_token_is_the_callers_alone(wiki: Wiki) -> None:
    token = await wiki.signed_in()
    assert token.token in wiki.server.access
    assert (await wiki.token("bob")).token == ""
    assert (await wiki.token("")).token == "", "what all share is nobody's"
    other = await wiki.signed_in("bob")
    assert other.token != token.token
    assert len(wiki.server.asked) == 1, "registered once for the organisation"
    assert {form["resource"] for form in wiki.server.forms} == {wiki.server.url}
    assert wiki.memory.written == [("signed in", ALICE), ("signed in", Whose("acme", "wiki", "bob"))]


async def test_the_page_shows_what_is_behind_the_link(wiki: Wiki) -> None:
    handle = (await wiki.link()).rpartition("/")[2]
    shown = await show_sign_in(AskSignIn(handle=handle, person=PERSON), wiki.use)
    assert (shown.organisation, shown.server, shown.subject) == ("acme", "wiki", "alice")
    await refused("sign_in.unknown", show_sign_in(AskSignIn(handle="made-up"), wiki.use))


@pytest.mark.parametrize("somebody", ["", "person-else"])
async def test_somebody_elses_link_shows_nothing_and_begins_nothing(wiki: Wiki, somebody: str) -> None:
    handle = (await wiki.link()).rpartition("/")[2]
    await refused("auth.forbidden", show_sign_in(AskSignIn(handle=handle, person=somebody), wiki.use))
    begin = BeginSignIn(handle=handle, browser=BROWSER, person=somebody)
    await refused("auth.forbidden", begin_sign_in(begin, wiki.use))
    assert wiki.memory.parked == {}
    assert wiki.server.asked == []


async def test_who_may_not_follow_the_link_any_more_does_not_finish(wiki: Wiki) -> None:
    back = answer_in(await wiki.sent_back())
    wiki.use = dataclasses.replace(wiki.use, standings=Nobody())
    await refused("auth.forbidden", finish_sign_in(back, wiki.use))
    assert wiki.memory.written == []


async def test_a_refused_caller_gets_the_same_link_again(wiki: Wiki) -> None:
    assert await wiki.link() == await wiki.link()


async def test_where_nobody_can_follow_a_link_there_is_none(wiki: Wiki) -> None:
    needed = await refused("server.sign_in_needed", wiki.token("", status=401, challenge=wiki.challenge))
    assert "url" not in needed.data
    assert wiki.memory.links == {}


async def test_an_operator_asks_for_a_link_before_anybody_calls(wiki: Wiki) -> None:
    link = await open_sign_in(OpenSignIn(organisation="acme", server="wiki"), wiki.use)
    await consented(link.url, wiki.use)
    assert (await wiki.token("")).token
    assert (await wiki.token("alice")).token == ""


# ------------------------------------------------------------------------------------------ the callback


async def test_another_browser_cannot_finish_and_the_flow_is_over_then(wiki: Wiki) -> None:
    back = await wiki.sent_back()
    for browser in ("another", ""):
        await refused("sign_in.unknown", finish_sign_in(answer_in(back, browser), wiki.use))
    await refused("sign_in.unknown", finish_sign_in(answer_in(back), wiki.use))
    assert (wiki.memory.held, wiki.server.counts["/token"]) == ({}, 0)


async def test_another_person_cannot_finish(wiki: Wiki) -> None:
    back = answer_in(await wiki.sent_back())
    await refused("sign_in.unknown", finish_sign_in(msgspec.structs.replace(back, person="mallory"), wiki.use))
    assert wiki.memory.held == {}


async def test_a_state_works_once(wiki: Wiki) -> None:
    back = answer_in(await wiki.sent_back())
    await finish_sign_in(back, wiki.use)
    await refused("sign_in.unknown", finish_sign_in(back, wiki.use))


async def test_a_flow_that_was_begun_anew_ends_the_one_before(wiki: Wiki) -> None:
    first = await wiki.begun()
    second = await wiki.begun()
    old = (await wiki.use.fetch("GET", first)).headers["location"]
    await refused("sign_in.unknown", finish_sign_in(answer_in(old), wiki.use))
    new = (await wiki.use.fetch("GET", second)).headers["location"]
    await finish_sign_in(answer_in(new), wiki.use)


@pytest.mark.parametrize("iss", ["https://evil.example", None, "{origin}/", "HTTP{rest}"])
async def test_an_answer_of_another_authorization_server_is_not_used(wiki: Wiki, iss: str | None) -> None:
    back = answer_in(await wiki.sent_back())
    said = None if iss is None else iss.format(origin=wiki.server.origin, rest=wiki.server.origin[4:])
    wrong = msgspec.structs.replace(back, iss=said)
    await refused("server.sign_in_failed", finish_sign_in(wrong, wiki.use))
    assert wiki.server.counts["/token"] == 0, "the code was not given away"


async def test_the_issuer_is_looked_at_before_an_error_is_read(wiki: Wiki) -> None:
    back = answer_in(await wiki.sent_back())
    wrong = msgspec.structs.replace(back, iss="https://evil.example", error="<script>", code=None)
    problem = await refused("server.sign_in_failed", finish_sign_in(wrong, wiki.use))
    assert "script" not in problem.message
    assert "another authorization server" in problem.message


# -------------------------------------------------------------------------------------------- discovery


METADATA, RESOURCE = "/.well-known/oauth-authorization-server", "/.well-known/oauth-protected-resource/mcp"


@pytest.mark.parametrize(
    ("path", "change", "words"),
    [
        (METADATA, {"issuer": "https://evil.example"}, "another issuer"),
        (METADATA, {"code_challenge_methods_supported": None}, "PKCE"),
        (METADATA, {"code_challenge_methods_supported": ["plain"]}, "PKCE"),
        (METADATA, {"authorization_endpoint": "javascript:alert(1)"}, "no https URL"),
        (METADATA, {"registration_endpoint": "http://169.254.169.254/register"}, "not public"),
        (METADATA, {"registration_endpoint": None}, "cannot be read"),
        (METADATA, {"registration_endpoint": ""}, "wants clients that it knows"),
        (METADATA, "not metadata", "cannot be read"),
        (RESOURCE, {"resource": "https://evil.example/mcp"}, "another resource"),
        (RESOURCE, {"resource": "{origin}/other"}, "another resource"),
        (RESOURCE, {"authorization_servers": []}, "no authorization server"),
        (RESOURCE, {"authorization_servers": ["http://169.254.169.254"]}, "not public"),
        (RESOURCE, {"authorization_servers": ["file:///etc/passwd"]}, "not valid"),
    ],
)
async def test_metadata_that_leads_astray_is_not_followed(wiki: Wiki, path: str, change: Any, words: str) -> None:
    server = wiki.server
    own = server.metadata() if path == METADATA else {"resource": server.url, "authorization_servers": [server.origin]}
    if isinstance(change, dict):
        filled = {k: v.format(origin=server.origin) if isinstance(v, str) else v for k, v in change.items()}
        server.answers[path] = (200, own | filled)
    else:
        server.answers[path] = (200, change)
    problem = await refused("server.sign_in_failed", wiki.begun())
    assert words in problem.message
    assert server.counts["/authorize"] == server.counts["/token"] == 0


async def test_a_body_of_metadata_without_end_is_not_read_to_its_end(wiki: Wiki) -> None:
    wiki.server.answers[METADATA] = (200, b"[" + b" " * 300_000)
    problem = await refused("server.sign_in_failed", wiki.begun())
    assert "more than" in problem.message


async def test_a_token_endpoint_that_moves_inside_gets_nothing(wiki: Wiki) -> None:
    wiki.server.answers[METADATA] = (200, wiki.server.metadata(token_endpoint="http://169.254.169.254/token"))
    back = await wiki.sent_back()
    problem = await refused("server.sign_in_failed", finish_sign_in(answer_in(back), wiki.use))
    assert "not public" in problem.message


async def test_a_pinned_issuer_has_to_be_among_those_of_the_server(wiki: Wiki) -> None:
    wiki.define(issuer="https://auth.example")
    await refused("server.sign_in_failed", wiki.begun())
    wiki.define(issuer=wiki.server.origin)
    await wiki.begun()


async def test_an_issuer_may_have_the_other_name_that_an_operator_gave_it(wiki: Wiki) -> None:
    wiki.server.answers[METADATA] = (200, wiki.server.metadata(issuer=wiki.server.origin + "/"))
    await refused("server.sign_in_failed", wiki.begun())
    wiki.define(issuer_alias=wiki.server.origin + "/")
    assert await wiki.begun()


async def test_given_credentials_are_not_taken_to_another_authorization_server(wiki: Wiki) -> None:
    wiki.define(client_id="given")
    await wiki.signed_in()
    held = wiki.memory.held[ALICE]
    server = msgspec.structs.replace(held.grant.found.server, issuer="https://before.example")
    found = msgspec.structs.replace(held.grant.found, server=server)
    wiki.memory.held[ALICE] = type(held)(msgspec.structs.replace(held.grant, found=found), held.version)
    wiki.server.forget_access()
    problem = await refused(
        "server.sign_in_needed", wiki.token(status=401, challenge=wiki.challenge, refused=held.version)
    )
    handle = problem.data["url"].rpartition("/")[2]
    failed = await refused(
        "server.sign_in_failed", begin_sign_in(BeginSignIn(handle=handle, browser=BROWSER, person=PERSON), wiki.use)
    )
    assert "somebody else's" in failed.message


# ----------------------------------------------------------------------------------------------- tokens


async def test_a_token_is_renewed_before_it_ends(wiki: Wiki) -> None:
    wiki.server.expires_in = 0
    first = (await wiki.signed_in()).token
    wiki.server.expires_in = 3600
    second = (await wiki.token()).token
    assert first != second == (await wiki.token()).token
    assert [form["grant_type"] for form in wiki.server.forms].count("refresh_token") == 2


@pytest.mark.parametrize(("lifetime", "renewed"), [(3600, 3540), (120, 60), (30, 15), (0, 0)])
def test_a_token_of_short_life_is_not_renewed_at_every_call(lifetime: int, renewed: int) -> None:
    server = ServerMetadata(issuer="https://i")
    found = Discovered(resource="https://h/mcp", server=server)
    before = Grant(access_token="", found=found, client=Client(client_id="c", method="none", origin="given"))
    after = granted(Tokens("x", "Bearer", lifetime), 1000.0, before)
    assert (after.expires_at, after.renew_at) == (1000.0 + lifetime, 1000.0 + renewed)
    assert granted(Tokens("x", "Bearer"), 1000.0, before).expires_at == 0, "nobody knows"


async def test_a_refused_token_is_renewed_without_anybody(wiki: Wiki) -> None:
    token = await wiki.signed_in()
    wiki.server.forget_access()
    newer = await wiki.token(status=401, challenge=wiki.challenge, refused=token.version)
    assert newer.token in wiki.server.access
    again = await wiki.token(status=401, challenge=wiki.challenge, refused=token.version)
    assert again == newer, "somebody who was refused with the old one gets the new one"


async def test_a_refresh_token_that_is_not_taken_any_more_asks_for_a_person(wiki: Wiki) -> None:
    token = await wiki.signed_in()
    wiki.server.refresh.clear()
    problem = await refused(
        "server.sign_in_needed", wiki.token(status=401, challenge=wiki.challenge, refused=token.version)
    )
    assert ("lost", ALICE) in wiki.memory.written
    await refused("server.sign_in_needed", wiki.token())
    await consented(problem.data["url"], wiki.use)
    assert (await wiki.token()).token in wiki.server.access


async def test_an_authorization_server_that_is_away_loses_nothing(wiki: Wiki) -> None:
    wiki.server.expires_in = 0
    await consented(await wiki.link(), wiki.use)
    wiki.server.answers["/token"] = (503, {})
    await refused("server.sign_in_failed", wiki.token())
    del wiki.server.answers["/token"]
    assert (await wiki.token()).token in wiki.server.access


async def test_more_scopes_are_asked_for_beside_those_that_were_granted(wiki: Wiki) -> None:
    wiki.define(scopes=("read",))
    token = await wiki.signed_in()
    challenge = f'Bearer error="insufficient_scope", scope="write", {wiki.challenge[7:]}'
    problem = await refused("server.sign_in_needed", wiki.token(status=403, challenge=challenge, refused=token.version))
    await consented(problem.data["url"], wiki.use)
    assert wiki.memory.held[ALICE].grant.requested == "read write"


async def test_tokens_of_a_server_that_moved_are_not_sent_to_the_new_place(wiki: Wiki) -> None:
    await wiki.signed_in()
    moved = msgspec.structs.replace(wiki.memory.definitions["acme", "wiki"], url="http://localhost:1/mcp")
    wiki.memory.definitions["acme", "wiki"] = moved
    assert (await wiki.token()).token == ""


async def test_a_client_that_is_not_known_any_more_is_registered_anew(wiki: Wiki) -> None:
    back = await wiki.sent_back()
    wiki.server.answers["/token"] = (401, {"error": "invalid_client"})
    await refused("server.sign_in_failed", finish_sign_in(answer_in(back), wiki.use))
    del wiki.server.answers["/token"]
    await wiki.signed_in()
    assert len(wiki.server.asked) == 2


async def test_what_a_token_endpoint_says_of_an_error_is_not_passed_on(wiki: Wiki) -> None:
    back = await wiki.sent_back()
    wiki.server.answers["/token"] = (400, {"error": "<b>secret-code</b>", "error_description": "secret"})
    problem = await refused("server.sign_in_failed", finish_sign_in(answer_in(back), wiki.use))
    assert "<" not in problem.message
    assert "description" not in problem.message


async def test_client_credentials_need_nobody(wiki: Wiki) -> None:
    wiki.memory.values["acme", "key"] = "s3cret"
    wiki.define(grant="client_credentials", credentials="shared", client_id="us", client_secret=SecretRef(secret="key"))
    assert (await wiki.token("")).token == ""
    token = await wiki.token("", status=401, challenge=wiki.challenge)
    assert token.token in wiki.server.access
    assert wiki.memory.held[Whose("acme", "wiki")].grant.client.secret == "", "the vault has it once"
    await refused("server.sign_in_failed", wiki.token("alice"))


# ------------------------------------------------------------------------------------------- pure rules


def test_a_challenge_is_read_with_and_without_quotes() -> None:
    header = 'Bearer realm="x, y=\\"z\\"", error="insufficient_scope", scope="a b", resource_metadata=https://h/p'
    found = challenge_of(403, header)
    assert (found.error, found.scope, found.resource_metadata) == ("insufficient_scope", "a b", "https://h/p")
    assert found.wants_more
    assert challenge_of(401, "").scope is None


@pytest.mark.parametrize("header", ["a" * 60_000, 'a="' * 20_000, "a " * 30_000, 'a="\\"' * 10_000, "=" * 60_000])
def test_a_challenge_that_is_made_to_take_long_takes_no_time(header: str) -> None:
    began = time.process_time()
    challenge_of(401, header)
    assert time.process_time() - began < 0.2


@pytest.mark.parametrize(
    ("resource", "url", "is_its"),
    [
        ("https://h/mcp", "https://h/mcp", True),
        ("https://h/mcp/", "https://h/mcp", True),
        ("https://h", "https://h/a/mcp", True),
        ("HTTPS://H/mcp", "https://h/mcp", True),
        ("https://h/mcp", "https://h/mcp2", False),
        ("https://h/a/mcp", "https://h/a", False),
        ("https://h:444/mcp", "https://h/mcp", False),
        ("http://h/mcp", "https://h/mcp", False),
        ("https://h.evil.example/mcp", "https://h/mcp", False),
    ],
)
def test_metadata_speaks_of_a_server_or_its_parent(resource: str, url: str, is_its: bool) -> None:
    assert is_resource_of(resource, url) is is_its


def test_metadata_is_looked_for_in_the_order_of_the_specifications() -> None:
    assert resource_metadata_urls("https://h/a/mcp/", None) == [
        "https://h/.well-known/oauth-protected-resource/a/mcp",
        "https://h/.well-known/oauth-protected-resource",
    ]
    assert resource_metadata_urls("https://h/mcp", "https://h/own") == ["https://h/own"]
    assert issuer_metadata_urls("https://h/t") == [
        "https://h/.well-known/oauth-authorization-server/t",
        "https://h/.well-known/openid-configuration/t",
        "https://h/t/.well-known/openid-configuration",
    ]
    assert issuer_metadata_urls("https://h/") == issuer_metadata_urls("https://h")
    assert canonical("HTTPS://Host/Path?q=1#f") == "https://host/Path?q=1"


def test_a_union_of_scopes_has_each_once() -> None:
    assert union("a b", "b c") == "a b c"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b'{"error":"invalid_grant"}'),
        (200, b"not json"),
        (200, b'{"access_token":"x","token_type":"mac"}'),
        (200, b'{"access_token":"","token_type":"bearer"}'),
        (302, b'{"access_token":"x","token_type":"bearer"}'),
    ],
)
def test_an_answer_without_a_usable_token_is_a_refusal(status: int, body: bytes) -> None:
    with pytest.raises(TokenRefused):
        tokens_of(status, body)


async def test_a_server_that_all_share_has_no_sign_in_of_one_caller(wiki: Wiki) -> None:
    wiki.define(credentials="shared")
    with pytest.raises(Problem, match="share one sign-in"):
        await wiki.token("alice")
