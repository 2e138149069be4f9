"""T24 at the edge: whom it does not know is counted, told in a burst, and never by the key that was shown."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from litestar import Litestar, get
from litestar.di import Provide

from callboard.contracts.access import Principal, VerifyToken
from callboard.contracts.people import AskSession
from callboard.contracts.playbooks import Done
from callboard.contracts.problems import Problem
from callboard.contracts.refusals import NoteRefusals, RefusedCallers
from callboard.kernel.tokens import key_id_of
from callboard_edge.api.caller import Caller, Gatekeeper, provide_caller
from callboard_edge.auth.access_tokens import AccessTokens
from callboard_edge.auth.logins import Logins
from callboard_edge.auth.refusals import MOST_TOLD_APART, Refusals
from callboard_edge.auth.signing_keys import SigningKeySet
from callboard_edge.auth.verify import Tokens
from callboard_edge.mcp import address, endpoint
from callboard_edge.mcp.endpoint import McpEndpoint
from callboard_edge.mcp.envelope import Refused
from callboard_edge.mcp.gate import Place
from tests.authsvc.stack import some_token

GOOD, BAD = some_token(1), some_token(2)


class Authsvc:
    """Knows one token, and hears of the rest; `trouble` is what it answers to the latter."""

    def __init__(self) -> None:
        self.told: list[NoteRefusals] = []
        self.asked = 0
        self.trouble = ""
        self.error: Exception | None = None

    async def ask(self, subject: str, question: Any, answer: Any, within: float = 10.0) -> Any:
        if isinstance(question, NoteRefusals):
            self.told.append(question)
            if self.error is not None:
                raise self.error
            if self.trouble:
                raise Problem(self.trouble, "no")
            return Done(seq=0)
        self.asked += 1
        if isinstance(question, VerifyToken) and question.token == GOOD:
            return Principal(key_id="k", client="c", organisation="acme", scopes=("manage",))
        assert isinstance(question, VerifyToken | AskSession)
        raise Problem("auth.invalid", "no")


class Rig:
    def __init__(self) -> None:
        self.authsvc = Authsvc()
        bus: Any = self.authsvc
        url = "https://callboard.example"
        self.refusals = Refusals(bus, 60)
        self.tokens = Tokens(bus, AccessTokens(bus, SigningKeySet(bus), url), 15, 60)
        gatekeeper = Gatekeeper(self.tokens, Logins(bus, 15), self.refusals)

        @get("/organisations/{organisation:str}/x", dependencies={"caller": Provide(provide_caller(gatekeeper))})
        async def route(caller: Caller, organisation: str) -> str:
            return caller.actor

        app = Litestar([route], openapi_config=None)
        self.transport = httpx2.ASGITransport(app, client=("192.0.2.9", 1))  # type: ignore[arg-type]
        self.endpoint: Any = type("Endpoint", (), {})()
        self.endpoint._tokens, self.endpoint._refusals, self.endpoint._anonymous = self.tokens, self.refusals, False

    async def api(self, organisation: str = "acme", **headers: str) -> int:
        async with httpx2.AsyncClient(transport=self.transport, base_url="https://callboard.example") as http:
            return (await http.get(f"/organisations/{organisation}/x", headers=headers)).status_code

    async def mcp(self, authorization: str, organisation: str = "acme") -> None:
        place = Place(organisation, "start", 0)
        await McpEndpoint._principal(self.endpoint, {b"authorization": authorization.encode("latin-1")}, place)

    async def told(self) -> NoteRefusals:
        await self.refusals.flush()
        [said] = self.authsvc.told
        return said


async def test_bad_keys_at_the_api_and_at_an_endpoint_are_told_and_good_ones_cost_nothing() -> None:
    rig = Rig()
    address.remember("2001:db8::1")
    for _ in range(3):
        assert await rig.api(Authorization=f"Bearer {GOOD}") == 200
        await rig.mcp(f"Bearer {GOOD}")
    assert rig.authsvc.asked == 1
    await rig.refusals.flush()
    assert rig.authsvc.told == []
    for _ in range(2):
        await rig.api(Authorization=f"Bearer {BAD}")
    await rig.api("Not A Slug", Authorization="Bearer what\x7f")
    await rig.api(Cookie="__Host-callboard=cbl_x")
    await rig.api()  # nobody said to be anybody
    for shown in (f"Bearer {BAD}", "Bearer a.b.c", "Bearer a b"):
        with pytest.raises(Problem):
            await rig.mcp(shown)

    told = await rig.told()

    common: dict[str, Any] = {"reason": "auth.invalid", "count": 1, "organisation": "acme"}
    at_api, at_mcp = {"door": "api", "address": "192.0.2.9"}, {"door": "mcp", "address": "2001:db8::/64"}
    malformed = {"reason": "auth.malformed"}
    assert set(told.lines) == {
        RefusedCallers(**{**common, **at_api, "key_id": key_id_of(BAD), "count": 2}),
        RefusedCallers(**{**common, **at_api, **malformed, "organisation": ""}),
        RefusedCallers(**{**common, **at_api}),
        RefusedCallers(**{**common, **at_mcp, "key_id": key_id_of(BAD)}),
        RefusedCallers(**{**common, **at_mcp}),
        RefusedCallers(**{**common, **at_mcp, **malformed}),
    }
    assert BAD[12:] not in repr(told)


async def test_a_flood_from_everywhere_is_one_short_message() -> None:
    rig = Rig()
    problem = Problem("auth.invalid", "no")
    for n in range(50_000):
        rig.refusals.note("mcp", problem, f"org-{n}", "Bearer x", f"192.0.{n % 256}.{n // 256}")
    told = await rig.told()
    assert len(told.lines) == MOST_TOLD_APART
    assert sum(line.count for line in told.lines) + told.others == 50_000


async def test_what_authsvc_did_not_answer_is_told_again_as_the_same_message_and_then_the_rest() -> None:
    rig = Rig()
    problem = Problem("auth.invalid", "no")
    rig.authsvc.trouble = "bus.unavailable"
    for _ in range(2):
        rig.refusals.note("mcp", problem, "acme", None, "")
        await rig.refusals.flush()
    rig.authsvc.trouble = ""
    await rig.refusals.flush()
    await rig.refusals.flush()
    await rig.refusals.flush()
    first, again, at_last, rest = rig.authsvc.told
    assert first == again == at_last
    assert rest.command_id != first.command_id
    assert [line.count for line in (*first.lines, *rest.lines)] == [1, 1]


async def test_a_message_that_nobody_will_ever_take_does_not_hold_up_the_next() -> None:
    rig = Rig()
    rig.authsvc.trouble = "command.reused"
    rig.refusals.note("mcp", Problem("auth.invalid", "no"), "acme", None, "")
    await rig.refusals.flush()
    await rig.refusals.flush()
    assert len(rig.authsvc.told) == 1


@pytest.mark.parametrize("error", [OSError("out of the library"), Problem("internal.unexpected", "no")])
async def test_something_unexpected_loses_nothing_and_a_message_at_which_it_always_happens_is_given_up(
    error: Exception,
) -> None:
    rig = Rig()
    for tries in (1, 5):
        rig.refusals.note("mcp", Problem("auth.invalid", "no"), "acme", None, "")
        rig.authsvc.told, rig.authsvc.error = [], error
        for _ in range(tries):
            await rig.refusals.flush()
        assert len({message.command_id for message in rig.authsvc.told}) == 1
        rig.authsvc.error = None
        await rig.refusals.flush()
        assert len(rig.authsvc.told) == (2 if tries == 1 else 5)


def test_long_media_types_are_judged_like_others_and_not_remembered() -> None:
    before = endpoint._wrong_media.cache_info().currsize
    good = {b"content-type": b"application/json", b"accept": b"x/y, " * 100 + b"*/*"}

    endpoint._check_media(good)
    with pytest.raises(Refused, match="Accept"):
        endpoint._check_media({**good, b"accept": b"x/y, " * 100})

    assert endpoint._wrong_media.cache_info().currsize == before
