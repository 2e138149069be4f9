"""The consent page at the edge: always shown, answered by whom it was shown to alone, and inert."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import httpx2
import msgspec
import pytest
import pytest_asyncio
from litestar import Litestar

from callboard.contracts.access import Principal
from callboard.contracts.oauth_server import (
    AskConsent,
    Consent,
    ConsentDecided,
    GiveConsent,
    RefuseConsent,
    ScopeInWords,
)
from callboard.contracts.people import AskSession, PersonLine, SignedIn
from callboard.contracts.problems import Problem
from callboard_edge.auth.logins import Logins
from callboard_edge.web.consent import BEGUN, begun_cookie, consent_routes
from callboard_edge.web.visitor import FORM, form_secret
from tests.support.persons import Form, Visitor

URL = "https://callboard.example"
LATER = datetime(2030, 1, 1, tzinfo=UTC)
CONSENT = Consent(
    client_id="c1",
    client_name="<script>alert(1)</script>\u202eevil",
    client_kind="document",
    client_host="client.example",
    redirect_host="back.example",
    redirect_uri="https://back.example/cb",
    scopes=(ScopeInWords(scope="use", words="call the tools of <b>this</b> playbook"),),
    organisation="acme",
    playbook="support",
    warnings=("the answer goes to <i>another</i> host",),
    expires_at=LATER,
)


@dataclass
class Authsvc:
    """Stands where the bus is: sessions by their cookie, and one request."""

    consent: Consent = CONSENT
    problem: Problem | None = None
    heard: list[Any] = field(default_factory=list)

    async def ask(self, subject: str, question: Any, answer: type[Any], within: float = 0.0) -> Any:
        if isinstance(question, AskSession):
            return _session(question.session)
        self.heard.append(question)
        if self.problem is not None:
            raise self.problem
        return self.consent if isinstance(question, AskConsent) else ConsentDecided(url="https://back.example/cb?iss=x")


def _session(name: str) -> SignedIn:
    principal = Principal(key_id=f"key-{name}", client=name, organisation="", scopes=("own",), member=name, grants={})
    person = PersonLine(person=f"person-{name}", email=f"{name}@example.com")
    return SignedIn(principal=principal, person=person, csrf=f"csrf of {name}", expires_at=LATER)


@pytest.fixture
def authsvc() -> Authsvc:
    return Authsvc()


@pytest_asyncio.fixture
async def visitor(authsvc: Authsvc) -> AsyncIterator[httpx2.AsyncClient]:
    routes = consent_routes(authsvc, Logins(authsvc, 15.0), URL)  # type: ignore[arg-type]
    app = Litestar(routes, openapi_config=None)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=URL) as client:
        yield client


def cookies(session: str = "ann", begun: str = "r1") -> dict[str, str]:
    return {"Cookie": f"__Host-callboard={session}; {BEGUN}=r0.{begun}"}


async def decide(visitor: httpx2.AsyncClient, fields: dict[str, str], **headers: str) -> httpx2.Response:
    own = {**Visitor.from_own_page(URL), **cookies()}
    return await visitor.post("/consent/r1", data=fields, headers={**own, **headers})


async def test_the_page_says_who_asks_for_what_and_nothing_of_it_runs(visitor: httpx2.AsyncClient) -> None:
    page = await visitor.get("/consent/r1", headers=cookies())
    assert page.status_code == 200
    for shown in ("client.example", "back.example", "acme", "support", "ann@example.com", "&lt;script&gt;alert(1)"):
        assert shown in page.text
    assert not [each for each in ("<script", "<b>", "<i>", "\u202e") if each in page.text]
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["x-frame-options"] == "DENY"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy


async def test_whose_a_host_is_can_be_read_however_long_it_is(visitor: httpx2.AsyncClient, authsvc: Authsvc) -> None:
    long = ".".join(["claude.ai", *("a" * 63,) * 3, "b" * 36, "evil.example"])
    assert len(long) > 240
    authsvc.consent = msgspec.structs.replace(CONSENT, client_host=long, redirect_host=f"{long}:65535")
    page = await visitor.get("/consent/r1", headers=cookies())
    assert f"<dd>{long}</dd>" in page.text
    assert f"<dd>{long}:65535</dd>" in page.text


async def test_somebody_who_is_not_signed_in_is_sent_to_the_login_and_back(visitor: httpx2.AsyncClient) -> None:
    sent = await visitor.get("/consent/r1", headers={"Cookie": f"{BEGUN}=r1"})
    assert (sent.status_code, sent.headers["location"]) == (303, "/login?next=%2Fconsent%2Fr1")


@pytest.mark.parametrize("cookie", ["", f"; {BEGUN}=r2", f"; {BEGUN}=r11.xr1"])
async def test_a_request_that_was_begun_in_another_browser_is_not_even_looked_at(
    visitor: httpx2.AsyncClient, authsvc: Authsvc, cookie: str
) -> None:
    headers = {"Cookie": f"__Host-callboard=ann{cookie}"}
    assert (await visitor.get("/consent/r1", headers=headers)).status_code == 404
    hers = Form((await visitor.get("/consent/r1", headers=cookies())).text).fields
    authsvc.heard.clear()
    assert (await decide(visitor, {**hers, "decision": "allow"}, **headers)).status_code == 404
    assert authsvc.heard == []


async def test_allow_and_deny_both_lead_back_to_the_client(visitor: httpx2.AsyncClient, authsvc: Authsvc) -> None:
    authsvc.consent = msgspec.structs.replace(CONSENT, organisation="", organisations=("acme", "globex"))
    fields = Form((await visitor.get("/consent/r1", headers=cookies())).text).fields
    authsvc.heard.clear()
    for decision in ("allow", "deny", ""):
        sent = await decide(visitor, {**fields, "decision": decision, "organisation": "globex"})
        assert (sent.status_code, sent.headers["location"]) == (303, "https://back.example/cb?iss=x")
    assert authsvc.heard == [
        GiveConsent(request="r1", by="key-ann", organisation="globex"),
        RefuseConsent(request="r1", by="key-ann"),
        RefuseConsent(request="r1", by="key-ann"),
    ]


async def test_nobody_answers_in_the_place_of_the_person(visitor: httpx2.AsyncClient, authsvc: Authsvc) -> None:
    fields = {**Form((await visitor.get("/consent/r1", headers=cookies())).text).fields, "decision": "allow"}
    bobs = Form((await visitor.get("/consent/r1", headers=cookies("bob"))).text).fields
    others = Form((await visitor.get("/consent/r0", headers=cookies())).text).fields
    authsvc.heard.clear()
    refused = [
        await decide(visitor, fields, Origin="https://evil.example"),
        await decide(visitor, fields, Origin="null"),
        await decide(visitor, fields, **{"Sec-Fetch-Site": "cross-site"}),
        await decide(visitor, {"decision": "allow"}),
        await decide(visitor, {**bobs, "decision": "allow"}),
        await decide(visitor, {**others, "decision": "allow"}),
    ]
    assert [answer.status_code for answer in refused] == [403] * 6
    assert authsvc.heard == []


@pytest.mark.parametrize(
    ("origin", "host", "status"),
    [
        ("https://localhost:8700", "localhost:8700", 303),
        ("https://localhost:8700", "localhost:8701", 403),
        ("https://evil.example", "callboard.example", 403),
        ("null", "callboard.example", 403),
        ("", "", 403),
        ("null", "", 403),
    ],
)
async def test_a_page_is_our_own_also_under_another_name_of_this_host(
    visitor: httpx2.AsyncClient, origin: str, host: str, status: int
) -> None:
    fields = {**Form((await visitor.get("/consent/r1", headers=cookies())).text).fields, "decision": "allow"}
    assert (await decide(visitor, fields, Origin=origin, Host=host)).status_code == status


async def test_where_there_is_nothing_to_let_in_the_client_can_be_told(
    visitor: httpx2.AsyncClient, authsvc: Authsvc
) -> None:
    authsvc.problem = Problem("playbook.unknown", "there is none")
    page = await visitor.get("/consent/r1", headers=cookies())
    assert page.status_code == 403
    assert "ann@example.com" in page.text
    fields = Form(page.text).fields
    authsvc.problem = None
    assert (await decide(visitor, {**fields, "decision": "deny"})).status_code == 303


def test_a_browser_has_several_requests_open_and_the_oldest_is_forgotten() -> None:
    jar: dict[str, str] = {}
    ids = [str(number) * 43 for number in range(7)]
    for each in ids:
        name, _, value = begun_cookie(jar, each).partition(";")[0].partition("=")
        jar[name] = value
    assert jar == {BEGUN: ".".join(ids[2:])}
    assert begun_cookie({}, "r").endswith("Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=900")


@pytest.mark.parametrize("sent", ["a\r\nX: y", "é" * 43, "a b", ";" * 43, "a" * 42, "a" * 44, "a" * 42 + "\n"])
def test_only_what_could_be_a_request_is_copied_from_a_cookie(sent: str) -> None:
    ours = "A_-" + "9" * 40
    assert begun_cookie({BEGUN: f"{sent}.{ours}"}, "r").startswith(f"{BEGUN}={ours}.r; ")


@pytest.mark.parametrize("sent", ["a\r\nX: y", "a" * 42, "a" * 42 + "\n"])
def test_only_what_could_be_ours_is_kept_for_a_form(sent: str) -> None:
    def kept(value: str) -> str | None:
        return form_secret(SimpleNamespace(cookies={FORM: value})).value  # type: ignore[arg-type]  # all that is read

    assert kept(sent) != sent
    assert kept("a" * 43) == "a" * 43
