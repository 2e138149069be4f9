"""Access tokens on the way to a server: which request carries which, and what happens when one is refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from callboard.contracts.access import ANONYMOUS_KEY
from callboard.contracts.calls import MODERN
from callboard.contracts.definitions import ServerDefinition, UpstreamOAuth
from callboard.contracts.events import EventMeta, OrganisationCreated, Recorded
from callboard.contracts.people_events import MemberRemoved
from callboard.contracts.problems import Problem
from callboard.contracts.upstream_sign_in import AskUpstreamToken, UpstreamToken
from callboard.contracts.vault_events import UpstreamSignedIn, UpstreamSignedOut
from callboard_connectors.entry.log import RegistryFold
from callboard_connectors.registry.domain import ServerKey, Wanted
from callboard_connectors.sessions.bearer import SessionBearer
from callboard_connectors.sessions.domain import SessionKey
from callboard_connectors.sessions.open import Limits, SessionOpener
from callboard_connectors.sessions.personal import MOST
from callboard_connectors.sessions.upstream import Upstream
from callboard_connectors.transports.authorized import MOST_REFUSALS, AuthorizedLink
from callboard_connectors.transports.guardian import Guardian
from tests.connectors.test_sign_in_answers import head
from tests.contracts.golden import WHEN
from tests.support.guarded import Guarded, guarded
from tests.support.ways_out import LOCAL

MAX = 1 << 20


class Given:
    """Gives out these tokens, one after the other, and remembers what was asked."""

    def __init__(self, *tokens: str, renew_at: float = 0.0) -> None:
        self.left = list(tokens)
        self.renew_at = renew_at
        self.asked: list[AskUpstreamToken] = []

    async def token(self, question: AskUpstreamToken) -> UpstreamToken:
        self.asked.append(question)
        await asyncio.sleep(0)
        token = self.left.pop(0) if len(self.left) > 1 else self.left[0]
        return UpstreamToken(token=token, renew_at=self.renew_at, version=len(self.asked))

    async def open(self, organisation: str, secrets: tuple[str, ...]) -> dict[str, str]:
        return {}


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Guarded]:
    async with guarded() as running:
        running.access["good"] = ""
        yield running


def bearer(given: Given, subject: str = "alice") -> SessionBearer:
    return SessionBearer(given, "acme", "wiki", subject)


async def called(server: Guarded, given: Given) -> int:
    link = AuthorizedLink(server.url, MAX, 2.0, LOCAL, bearer(given))
    try:
        sent = link.head("POST", {"Content-Type": "application/json"})
        return (await link.post(sent, b'{"id":1,"method":"tools/call"}')).status
    finally:
        link.close()


async def test_a_request_carries_the_token_that_is_held(server: Guarded) -> None:
    given = Given("good")
    assert await called(server, given) == 200
    assert server.bearers == ["good"]
    assert [(q.subject, q.attended, q.status) for q in given.asked] == [("alice", True, 0)]


async def test_without_a_token_the_server_is_asked_first_and_its_challenge_is_passed_on(server: Guarded) -> None:
    given = Given("", "good")
    assert await called(server, given) == 200
    assert [(q.status, q.refused) for q in given.asked] == [(0, 0), (401, 1)]
    assert "resource_metadata" in given.asked[1].challenge
    assert "authorization" not in server.headers[0]


async def test_a_server_that_refuses_everything_is_not_asked_for_ever(server: Guarded) -> None:
    given = Given(*(f"bad{number}" for number in range(20)))
    assert await called(server, given) == 401
    assert [q.status for q in given.asked] == [0, 401, 0, 0], "one is renewed for that, and no more for a minute"
    server.access |= dict.fromkeys(given.left, "")
    server.needed_scope = "more"
    given.asked.clear()
    assert await called(server, given) == 403
    assert [q.status for q in given.asked] == [0] + [403] * MOST_REFUSALS


async def test_a_caller_who_signed_in_meanwhile_is_let_in_by_the_next_call(server: Guarded) -> None:
    class Needed(Given):
        async def token(self, question: AskUpstreamToken) -> UpstreamToken:
            if question.status and self.left[0] == "old":
                self.asked.append(question)
                raise Problem("server.sign_in_needed", "sign in first", server="wiki")
            return await super().token(question)

    given = Needed("old")
    link = AuthorizedLink(server.url, MAX, 2.0, LOCAL, bearer(given))
    sent = link.head("POST", {"Content-Type": "application/json"})
    for _ in range(2):
        with pytest.raises(Problem, match="sign in first"):
            await link.post(sent, b'{"id":1,"method":"tools/call"}')
    given.left[:] = ["good"]
    assert (await link.post(sent, b'{"id":1,"method":"tools/call"}')).status == 200
    link.close()


async def test_a_refusal_that_has_nothing_to_do_with_the_token_is_an_answer(server: Guarded) -> None:
    given = Given("good")
    server.answers["/mcp"] = (403, {})
    assert await called(server, given) == 403
    assert len(given.asked) == 1


async def test_a_token_is_asked_for_again_before_it_ends_and_once_for_all_who_wait() -> None:
    given = Given("one", "two", renew_at=time.time())
    held = bearer(given)
    assert await held.line() == b"Authorization: Bearer one\r\n"
    given.renew_at = time.time() + 3600
    lines = await asyncio.gather(*(held.line() for _ in range(50)))
    assert set(lines) == {b"Authorization: Bearer two\r\n"}
    assert len(given.asked) == 2
    assert await held.other_line(b"Authorization: Bearer one\r\n", 401, "") == lines[0], "it was renewed meanwhile"
    assert len(given.asked) == 2


@pytest.mark.parametrize("token", ["a\r\nX-Evil: 1", "a b", "a\x00", "schl\u00fcssel"])
async def test_a_token_that_would_not_stay_one_header_is_refused(token: str) -> None:
    with pytest.raises(Problem) as refused:
        await bearer(Given(token)).line()
    assert refused.value.code == "server.sign_in_failed"
    assert token not in refused.value.message


# ----------------------------------------------------------------------------------------------- sessions


def opener(given: Given) -> SessionOpener:
    limits = Limits(connect_seconds=2.0, max_body_bytes=MAX, allow_stdio=False)
    return SessionOpener(Guardian(), given, limits, {}, LOCAL, given)


async def test_a_server_is_told_the_organisation_where_its_definition_says_so(server: Guarded) -> None:
    definition = ServerDefinition(url=server.url, oauth=UpstreamOAuth(), tenant_header="X-Tenant")
    session = await opener(Given("good")).open(SessionKey("acme", "wiki"), definition)
    await session.close()
    assert session.opening.era == MODERN
    assert {each["x-tenant"] for each in server.headers} == {"acme"}
    assert {each["authorization"] for each in server.headers} == {"Bearer good"}


async def test_a_web_socket_is_opened_with_the_token() -> None:
    seen: list[str | None] = []

    def doorman(connection: ServerConnection, request: Request) -> Response | None:
        seen.append(request.headers.get("Authorization"))
        return None if seen[-1] == "Bearer good" else connection.respond(HTTPStatus.UNAUTHORIZED, "")

    async def silent(connection: ServerConnection) -> None:
        await connection.wait_closed()

    async with serve(silent, "127.0.0.1", 0, process_request=doorman, close_timeout=0.2) as listening:
        url = f"ws://127.0.0.1:{next(iter(listening.sockets)).getsockname()[1]}/"
        limits = Limits(connect_seconds=0.3, max_body_bytes=MAX, allow_stdio=False)
        given = Given("", "good")
        opening = SessionOpener(Guardian(), given, limits, {}, LOCAL, given)
        with pytest.raises(Problem, match="did not answer in time"):  # it lets us in, and then says nothing
            await opening.open(SessionKey("acme", "wiki"), ServerDefinition(url=url, oauth=UpstreamOAuth()))
    assert seen[:2] == [None, "Bearer good"]


def upstream(**oauth: Any) -> Upstream:
    definition = ServerDefinition(url="http://localhost:1/mcp", oauth=UpstreamOAuth(**oauth))
    wanted = Wanted(definition=definition, revision=1)
    return Upstream(ServerKey("acme", "wiki"), wanted, opener(Given("good")), time.monotonic)


async def test_callers_share_an_upstream_only_where_the_definition_says_so() -> None:
    assert upstream(credentials="shared").personal is None
    shared = upstream()
    assert shared.personal is not None
    alice = head(MODERN, b"{}")
    bob = msgspec.structs.replace(alice, client="bob")
    own = shared.personal.of(alice)
    assert own is shared.personal.of(alice)
    assert own is not shared.personal.of(bob)
    assert (own.subject, own.personal) == ("alice", None)
    await shared.close()


async def test_who_comes_under_the_name_of_somebody_who_left_does_not_get_their_session() -> None:
    shared, alice = upstream(), head(MODERN, b"{}")
    assert shared.personal is not None
    bob = msgspec.structs.replace(alice, client="bob")
    hers, his = shared.personal.of(alice), shared.personal.of(bob)
    shared.personal.depart("alice")
    shared.personal.depart("nobody")
    assert shared.personal.of(alice) is not hers
    assert shared.personal.of(bob) is his
    await shared.close()


@pytest.mark.parametrize(
    ("event", "who"),
    [
        (MemberRemoved(member="ci"), ("acme", "ci", "")),
        (UpstreamSignedOut(server="wiki", subject="ci"), ("acme", "ci", "wiki")),
        (UpstreamSignedOut(server="wiki", subject=""), None),
        (UpstreamSignedIn(server="wiki", subject="ci", issuer="i"), None),
        (OrganisationCreated(organisation="acme"), None),
    ],
)
async def test_the_log_says_whose_sessions_end_and_what_was_before_the_start_does_not_matter(
    event: Any, who: tuple[str, str, str] | None
) -> None:
    left: list[tuple[str, str, str]] = []

    async def changed() -> None:
        """Nothing runs here."""

    fold = RegistryFold(changed, lambda *given: left.append(given))
    recorded = Recorded(
        organisation="acme", seq=1, event_id="1", stream="s", version=1, type="t", schema_version=1, recorded_at=WHEN,
        meta=EventMeta(actor="a"), event=event,
    )  # fmt: skip
    await fold.apply([recorded])
    assert left == []
    fold.complete = True
    await fold.apply([recorded])
    assert left == ([who] if who else [])


async def test_a_caller_without_a_name_has_no_account() -> None:
    shared = upstream()
    assert shared.personal is not None
    nobody = msgspec.structs.replace(head(MODERN, b"{}"), principal=ANONYMOUS_KEY)
    with pytest.raises(Problem, match="without a token"):
        shared.personal.of(nobody)


async def test_the_number_of_callers_is_bounded_and_busy_ones_stay() -> None:
    shared, one = upstream(), head(MODERN, b"{}")

    def of(client: str) -> Upstream:
        assert shared.personal is not None
        return shared.personal.of(msgspec.structs.replace(one, client=client))

    everybody = [of(f"c{number}") for number in range(MOST)]
    assert of("one more") is not everybody[0]
    assert of("c1") is everybody[1], "the one that was away longest had to go"
    for number in range(2, MOST):
        everybody[number].enter()
    of("c1").enter()
    of("one more").enter()
    with pytest.raises(Problem, match="busy"):
        of("too many")
    await shared.close()
