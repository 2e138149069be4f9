"""T5 at the edge: no page of ours stands in another's frame, and no session is one that a browser brought along."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from litestar import Litestar
from litestar.di import Provide

from callboard.contracts.access import Principal
from callboard.contracts.people import AskSession, AskWaysIn, PersonLine, SessionOpened, SignedIn, SignIn, WaysIn
from callboard.contracts.problems import Problem
from callboard_edge.api.people import sign_in
from callboard_edge.auth.logins import COOKIE, Logins
from callboard_edge.problems import api_problem
from callboard_edge.web.refusals import refused
from callboard_edge.web.routes import page_routes
from tests.support.persons import Form, Visitor

URL = "https://callboard.example"
PLANTED, FRESH = "cbl_planted", "cbl_fresh"
WAYS = ("/login", "/join", "/consent/r1", "/connect/h1", "/oauth/callback", "/logout", "/login/external")
"""Where people come to; every route of the pages begins with one of them."""


class Authsvc:
    """Ann is signed in with `ann`, or signs in; whatever else is asked there is not."""

    async def ask(self, subject: str, question: Any, answer: Any, within: float = 0.0) -> Any:
        match question:
            case AskWaysIn():
                return WaysIn(external=False)
            case AskSession(session="ann"):
                return _opened("ann").signed_in
            case SignIn():
                return _opened(FRESH)
        raise Problem("auth.invalid" if isinstance(question, AskSession) else "consent.unknown", "there is none")


def _opened(session: str) -> SessionOpened:
    principal = Principal(key_id="k", client="p", organisation="", scopes=("own",), member="p", grants={})
    person = PersonLine(person="p", email="ann@example.com")
    signed_in = SignedIn(principal=principal, person=person, csrf="c", expires_at=datetime(2030, 1, 1, tzinfo=UTC))
    return SessionOpened(session=session, signed_in=signed_in)


@asynccontextmanager
async def a_browser() -> AsyncIterator[tuple[httpx2.AsyncClient, list[str]]]:
    """The browser, and the paths of all pages."""
    bus: Any = Authsvc()
    routes = page_routes(bus, Logins(bus, 0), URL)
    app = Litestar(
        [*routes, sign_in],
        dependencies={"bus": Provide(lambda: bus, sync_to_thread=False)},
        exception_handlers={Problem: api_problem, Exception: refused},
        signature_namespace={"Bus": Any},
        openapi_config=None,
    )
    paths = sorted({path for route in routes for path in route.paths})  # type: ignore[union-attr]
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=URL) as http:
        yield http, paths


def frameable(answer: httpx2.Response) -> bool:
    policy = answer.headers.get("content-security-policy", "")
    return "frame-ancestors 'none'" not in policy or answer.headers.get("x-frame-options") != "DENY"


async def put_every_page_into_a_frame() -> None:
    """Each page, as it is for who is signed in and for who is not, and what it answers to a form of nobody's."""
    async with a_browser() as (http, paths):
        assert {
            path for path in paths if not path.startswith(tuple(way.rpartition("/")[0] or way for way in WAYS))
        } == set()
        for way in WAYS:
            for cookie in ("", f"{COOKIE}=ann; __Host-callboard-consent=r1"):
                for method in ("GET", "POST", "DELETE"):
                    answer = await http.request(method, way, headers={"Cookie": cookie} if cookie else {})
                    assert not frameable(answer), f"{method} {way} with {cookie!r}: {answer.status_code}"


async def plant_a_session() -> None:
    """A browser that brings a session along signs in by the page, and by the API."""
    async with a_browser() as (http, _):
        brought = f"{COOKIE}={PLANTED}"
        page = await http.get("/login", headers={"Cookie": brought})
        form = {**Form(page.text).fields, "email": "ann@example.com", "password": "x"}
        kept = page.headers["set-cookie"].partition(";")[0]
        own = Visitor.from_own_page(URL)
        answers = [
            await http.post("/login", data=form, headers={**own, "Cookie": f"{brought}; {kept}"}),
            await http.post("/session", json={"email": "a", "password": "x"}, headers={**own, "Cookie": brought}),
        ]
        for answer in answers:
            assert answer.status_code in (200, 303), answer.text
            assert answer.headers["set-cookie"].partition(";")[0] == f"{COOKIE}={FRESH}"


async def test_no_page_stands_in_a_frame_of_anothers() -> None:
    await put_every_page_into_a_frame()


async def test_a_browser_gets_a_session_that_nobody_planted() -> None:
    await plant_a_session()


@pytest.mark.parametrize("headers", [{}, {"X-Frame-Options": "DENY"}, {"Content-Security-Policy": "frame-ancestors *"}])
def test_a_page_that_could_be_framed_is_seen(headers: dict[str, str]) -> None:
    assert frameable(httpx2.Response(200, headers=headers))
