"""From the login page to the identity provider and back to where one was going."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx2
import pytest_asyncio
from litestar import Litestar
from litestar.di import Provide

from callboard.contracts.access import Principal
from callboard.contracts.people import (
    AskWaysIn,
    ExternalLogin,
    FinishExternal,
    PersonLine,
    SessionOpened,
    SignedIn,
    StartExternal,
    WaysIn,
)
from callboard.contracts.problems import Problem
from callboard_edge.api.people import finish_external, start_external
from callboard_edge.auth.logins import Logins
from callboard_edge.problems import api_problem
from callboard_edge.web.login import login_routes

URL = "https://callboard.example"
PERSON = PersonLine(person="person-a", email="ann@example.com")
PRINCIPAL = Principal(key_id="s/k", client="person-a", organisation="", scopes=("own",), member="person-a", grants={})
OPENED = SessionOpened(
    session="cbl_x",
    signed_in=SignedIn(principal=PRINCIPAL, person=PERSON, csrf="c", expires_at=datetime(2030, 1, 1, tzinfo=UTC)),
)


class Authsvc:
    """Stands where the bus is: an identity provider vouches for whoever comes back with the code `good`."""

    async def ask(self, subject: str, question: Any, answer: type[Any], within: float = 0.0) -> Any:
        match question:
            case AskWaysIn():
                return WaysIn(external=True)
            case StartExternal():
                return ExternalLogin(url="https://idp.example/authorize?x=1", ticket="t")
            case FinishExternal(ticket="t", code="good"):
                return OPENED
            case _:
                raise Problem("login.refused", "it was not this browser")


@pytest_asyncio.fixture
async def visitor() -> AsyncIterator[httpx2.AsyncClient]:
    bus = Authsvc()
    app = Litestar(
        [*login_routes(bus, Logins(bus, 15.0), URL), start_external, finish_external],  # type: ignore[arg-type]
        dependencies={"bus": Provide(lambda: bus, sync_to_thread=False)},
        exception_handlers={Problem: api_problem},
        signature_namespace={"Bus": Any},
        openapi_config=None,
    )
    jar = CookieJar(DefaultCookiePolicy())
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=URL, cookies=jar) as client:
        yield client


async def test_one_goes_on_to_the_page_that_asked_for_the_login(visitor: httpx2.AsyncClient) -> None:
    assert 'href="/login/external?next=%2Fconsent%2Fr"' in (await visitor.get("/login?next=/consent/r")).text
    begun = await visitor.get("/login/external?next=/consent/r")
    assert begun.headers["location"] == "https://idp.example/authorize?x=1"
    back = await visitor.get("/session/external/callback?state=s&code=good")
    assert (back.status_code, back.headers["location"]) == (303, "/consent/r")
    assert visitor.cookies["__Host-callboard"] == "cbl_x"
    assert "__Host-callboard-next" not in visitor.cookies, "used up"


async def test_nobody_is_sent_to_a_foreign_page(visitor: httpx2.AsyncClient) -> None:
    await visitor.get("/login/external?next=https://evil.example/")
    back = await visitor.get("/session/external/callback?state=s&code=good")
    assert (back.status_code, back.headers["location"]) == (303, "/login")


async def test_a_refusal_leads_back_to_the_page_and_makes_no_session(visitor: httpx2.AsyncClient) -> None:
    await visitor.get("/login/external?next=/consent/r")
    back = await visitor.get("/session/external/callback?state=s&code=bad")
    assert back.headers["location"] == "/login?failed=1&next=%2Fconsent%2Fr"
    assert "did not work" in (await visitor.get(back.headers["location"])).text
    assert "__Host-callboard" not in visitor.cookies


async def test_the_api_answers_with_data_to_who_did_not_come_from_the_page(visitor: httpx2.AsyncClient) -> None:
    await visitor.get("/login/external?next=/consent/r")
    await visitor.get("/session/external")
    answer = await visitor.get("/session/external/callback?state=s&code=good")
    assert (answer.status_code, answer.json()["person"]["email"]) == (200, "ann@example.com")
