"""As `test_without_controls.py`, for how clients and people get in: consent, codes, redirects, access tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import msgspec
import pytest
from litestar import Litestar

from callboard_authsvc.adapters.oauth_grant_table import OAuthGrantTable
from callboard_authsvc.oauth_server import domain
from callboard_authsvc.people import sessions, sign_in
from callboard_edge.api import people
from callboard_edge.auth import access_tokens
from callboard_edge.auth.logins import Logins, cookie_of
from callboard_edge.web import consent, consent_page, login, pages
from tests.authsvc import test_oauth_rules, test_oauth_server, test_sessions
from tests.authsvc.oauth_desk import desk_of
from tests.authsvc.people import Office
from tests.authsvc.stack import Edge, Stack, SteppingClock
from tests.edge import test_access_tokens, test_consent_pages, test_framing
from tests.kernel import test_redirect_uris
from tests.threats.test_without_controls import Patch, must_fail, must_fail_too, nothing

Tried = Callable[[httpx2.AsyncClient, test_consent_pages.Authsvc], Any]


@asynccontextmanager
async def a_visitor(authsvc: test_consent_pages.Authsvc) -> AsyncIterator[httpx2.AsyncClient]:
    url = test_consent_pages.URL
    app = Litestar(consent.consent_routes(authsvc, Logins(authsvc, 15.0), url), openapi_config=None)  # type: ignore[arg-type]
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=url) as client:
        yield client


async def visited(test: Callable[..., Any], *more: object) -> None:
    authsvc = test_consent_pages.Authsvc()
    async with a_visitor(authsvc) as visitor:
        await test(visitor, *more, *([authsvc] if "authsvc" in test.__annotations__ else []))


async def test_as_it_is_the_consent_page_withstands() -> None:
    """So that it is the missing control that lets the tests below fail."""
    await visited(test_consent_pages.test_nobody_answers_in_the_place_of_the_person)
    await visited(test_consent_pages.test_the_page_says_who_asks_for_what_and_nothing_of_it_runs)


@pytest.mark.parametrize("control", ["require_own_form", "require_proof"])
async def test_t1_without_the_checks_of_the_consent_form(monkeypatch: Patch, control: str) -> None:
    monkeypatch.setattr(consent, control, nothing)
    await must_fail_too(visited, test_consent_pages.test_nobody_answers_in_the_place_of_the_person)


async def test_t1_without_the_browser_in_which_a_request_was_begun(monkeypatch: Patch) -> None:
    monkeypatch.setattr(consent, "_require_begun_here", nothing)
    authsvc = test_consent_pages.Authsvc()
    async with a_visitor(authsvc) as visitor:
        test = test_consent_pages.test_a_request_that_was_begun_in_another_browser_is_not_even_looked_at
        await must_fail_too(test, visitor, authsvc, "")


async def test_t2_without_the_audience_of_an_access_token(monkeypatch: Patch) -> None:
    monkeypatch.setattr(access_tokens, "resource_of", lambda url, aud: test_access_tokens.HERE)
    await must_fail_too(
        test_access_tokens.test_a_token_that_was_signed_for_something_else_is_refused, "another playbook"
    )


async def test_t2_without_the_type_of_an_access_token(monkeypatch: Patch) -> None:
    monkeypatch.setattr(access_tokens, "TOKEN_TYPE", "id+jwt")
    await must_fail_too(test_access_tokens.test_a_header_that_says_anything_else_is_refused, "an id token")


async def test_t5_without_a_new_session_at_every_sign_in(monkeypatch: Patch, stack: Stack) -> None:
    brought: list[str] = []
    own = sessions.compose

    async def keep(former: str, use: object) -> None:
        brought.extend([former] if former else [])

    monkeypatch.setattr(sign_in, "end_former", keep)
    monkeypatch.setattr(sessions, "compose", lambda *given: brought.pop() if brought else own(*given))
    await stack.authsvc()
    edge = Edge(await stack.bus_of("edge"))
    await edge.create("acme")
    test = test_sessions.test_a_session_that_was_planted_in_a_browser_is_nobodys_after_the_sign_in
    await must_fail_too(test, Office(edge))


async def test_t5_without_the_cookie_of_the_new_session(monkeypatch: Patch) -> None:
    for module in (login, people):
        with monkeypatch.context() as patch:
            patch.setattr(module, "cookie_of", lambda session: cookie_of(test_framing.PLANTED))
            await must_fail_too(test_framing.plant_a_session)


@pytest.mark.parametrize("control", ["X-Frame-Options", "Content-Security-Policy"])
async def test_t5_without_what_keeps_pages_out_of_frames(monkeypatch: Patch, control: str) -> None:
    kept = {name: value for name, value in pages.HEADERS.items() if name != control}
    monkeypatch.setattr(pages, "HEADERS", kept)
    await must_fail_too(test_framing.put_every_page_into_a_frame)


async def test_t21_without_the_update_that_spends_a_code_once(monkeypatch: Patch, stack: Stack) -> None:
    async def always(*given: object) -> bool:
        return True

    monkeypatch.setattr(OAuthGrantTable, "spend", always)
    desk = await desk_of(stack, SteppingClock())
    test = test_oauth_server.test_a_code_that_is_spent_twice_at_once_gives_tokens_once_and_ends_the_grant
    await must_fail_too(test, desk)


def test_t21_without_pkce_and_without_what_a_code_is_bound_to(monkeypatch: Patch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(domain, "answers_challenge", lambda verifier, challenge: True)
        must_fail(test_oauth_rules.test_only_the_verifier_behind_the_challenge_fits, "", False)
        must_fail(test_oauth_rules.test_a_code_is_for_one_client_one_redirect_uri_one_verifier_and_a_minute)
    with monkeypatch.context() as patch:
        patch.setattr(domain, "check_code", nothing)
        must_fail(test_oauth_rules.test_a_code_is_for_one_client_one_redirect_uri_one_verifier_and_a_minute)


@pytest.mark.parametrize(
    "uri", ["javascript:alert(1)", "http://evil.example/cb", "https://good.example@evil.example/cb"]
)
def test_t22_without_the_rules_of_redirects(monkeypatch: Patch, uri: str) -> None:
    monkeypatch.setattr(test_redirect_uris, "fault_of", nothing)
    must_fail(test_redirect_uris.test_no_code_ever_goes_anywhere_else, uri)


async def test_t22_without_escaping_what_a_client_says_of_itself(monkeypatch: Patch) -> None:
    for page in (consent_page, pages):
        if hasattr(page, "escape"):
            monkeypatch.setattr(page, "escape", lambda text, *more: text)
    await must_fail_too(visited, test_consent_pages.test_the_page_says_who_asks_for_what_and_nothing_of_it_runs)


async def test_t25_without_the_signature(monkeypatch: Patch) -> None:
    monkeypatch.setattr(access_tokens.jws, "validate_compact", lambda *given, **more: True)
    await must_fail_too(test_access_tokens.test_an_embedded_key_does_not_vouch_for_itself)


class _AnyHeader(msgspec.Struct):
    typ: str = ""
    kid: str = ""


@pytest.mark.parametrize("name", ["a key set elsewhere", "a critical extension", "an embedded key"])
async def test_t25_without_the_refusal_of_other_headers(monkeypatch: Patch, name: str) -> None:
    monkeypatch.setattr(access_tokens, "_Header", _AnyHeader)
    monkeypatch.setattr(access_tokens.jws, "validate_compact", lambda *given, **more: True)
    await must_fail_too(test_access_tokens.test_a_header_that_says_anything_else_is_refused, name)
