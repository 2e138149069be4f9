"""Nothing of one organisation is shown to, or changed by, the people of another one, on any route of the API.

CALLBOARD_WALL_TRIES=10000 makes as many tries as one likes.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from callboard.contracts.problems import Problem
from callboard.contracts.records import AskVersion
from callboard.local.data_dir import DataDirectory
from callboard.local.database import DATABASE
from callboard.local.nats_server import EmbeddedNats
from callboard.local.postgres_server import EmbeddedPostgres
from callboard.platform.bus import Bus
from callboard_edge.api.caller import Caller
from callboard_edge.app import Edge
from callboard_edge.settings import EdgeSettings
from tests.api.conftest import Api
from tests.api.two_organisations import (
    NOT_TRIED,
    Found,
    Route,
    Side,
    Try,
    Walls,
    fresh_mark,
    furnish,
    routes_of,
    state_of,
)
from tests.support.backends import wants_containers
from tests.support.databases import connected
from tests.support.stack import Stack, free_ports
from tests.support.waiting import eventually

TRIES = int(os.environ.get("CALLBOARD_WALL_TRIES", "3000"))
AT_ONCE = 50
pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(wants_containers(), reason="looks into the servers that `callboard up` starts"),
]


class Rig:
    """An edge in this process beside those of the installation, and the two organisations behind it."""

    def __init__(self, runner: asyncio.Runner, stack: Stack, ours: Side, theirs: Side) -> None:
        self.runner = runner
        self._directory = DataDirectory(stack.directory)
        nats = EmbeddedNats(self._directory.nats, trust=self._directory.bus_trust())
        credentials = str(self._directory.keys / "edge.creds")
        port = free_ports(1)
        self._edge = Edge(EdgeSettings(nats_url=nats.url, nats_credentials=credentials, port=port), "walls")
        self.theirs = theirs
        runner.run(self._edge.start())
        application = self._edge.application()
        self.routes = routes_of(application.openapi_schema.to_schema())
        base = f"http://127.0.0.1:{port}/api/v1"
        self.http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=application), base_url=base)
        self.walls = Walls(self.http, self.routes, ours, theirs)

    def tries(self, *paths: str) -> st.SearchStrategy[Try]:
        """Any that names something of theirs; at these routes (method and path) if some are given."""
        some = [n for n, r in enumerate(self.routes) if not paths or f"{r.method} {r.path}".endswith(paths)]
        ways = [(n, abroad) for n in some for abroad in (True, False) if self.walls.possible(Try(n, 0, abroad, 0))]
        assert ways, paths
        principals, choices = st.integers(0, len(self.walls.principals) - 1), st.integers(0, 2**16)
        return st.builds(
            lambda way, who, what: Try(way[0], who, way[1], what), st.sampled_from(ways), principals, choices
        )

    def hold(self, count: int, *paths: str) -> None:
        """So many tries find nothing, and nothing of theirs is changed. Raises `Found`."""
        found: list[Found] = []

        def some(batch: list[Try]) -> None:
            try:
                self.runner.run(self._all(batch))
            except Found as hole:
                found.append(hole)  # the first is the one: what it did cannot be done again
                raise

        size = min(AT_ONCE, count)
        lists = st.lists(self.tries(*paths), min_size=size, max_size=size)
        chosen = settings(
            max_examples=max(1, count // size),
            deadline=None,
            database=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
            print_blob=False,
            report_multiple_bugs=False,
        )
        try:
            chosen(given(lists)(some))()
        except Exception:
            if not found:
                raise
            raise found[0] from None

    async def _all(self, batch: list[Try]) -> None:
        before = await self.state()
        for one in batch:
            await self.walls.attempt(one)
        after = await self.state()
        changed = [table for table in before if before[table] != after[table]]
        if changed:
            raise Found(f"{changed} of theirs changed by one of {batch}")

    async def state(self) -> dict[str, str]:
        """Their rows, past every service."""
        async with connected(EmbeddedPostgres(self._directory.postgres).dsn_for(DATABASE)) as owner:
            return await state_of(owner, self.theirs.name)

    def close(self) -> None:
        """The edge goes; the installation stays."""
        self.runner.run(self.http.aclose())
        self.runner.run(self._edge.stop())


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sides(installation: Stack) -> AsyncIterator[tuple[Side, Side]]:
    admin = Api(installation.url, installation.admin_token)
    ours = await furnish(installation, admin, fresh_mark())
    theirs = await furnish(installation, admin, fresh_mark(), "--tools", "1")
    yield ours, theirs


@pytest.fixture(scope="module")
def rig(installation: Stack, sides: tuple[Side, Side]) -> Iterator[Rig]:
    with asyncio.Runner() as runner:
        rig = Rig(runner, installation, *sides)
        runner.run(_settled(rig))
        yield rig
        rig.close()


async def _settled(rig: Rig) -> None:
    """What goes on by itself in a new organisation is over."""

    async def quiet() -> bool:
        before = await rig.state()
        await asyncio.sleep(0.5)
        return before == await rig.state()

    await eventually(quiet, 20)


def test_nothing_is_shown_nothing_is_changed_and_every_answer_is_as_if_it_were_not_there(rig: Rig) -> None:
    rig.hold(TRIES)
    assert rig.walls.made >= TRIES


def test_every_route_is_tried_but_those_with_a_reason(rig: Rig) -> None:
    tried = {n for n in range(len(rig.routes)) if rig.walls.possible(Try(n, 0, True, 0))}
    tried |= {n for n in range(len(rig.routes)) if rig.walls.possible(Try(n, 0, False, 0))}
    of_nobody = {f"{r.method} {r.path}" for n, r in enumerate(rig.routes) if n not in tried}
    assert of_nobody == {
        "GET /organisations",
        "GET /me",
        "GET /status",
        "GET /system/layer",
        "POST /system/layer",
        "GET /projections/playbooks/rebuild",
        "POST /projections/playbooks/rebuild",
        "POST /invitations/accept",
        "POST /webhooks/identity",
    }
    assert all(NOT_TRIED.values())


def test_what_names_nobody_shows_nothing_of_others(rig: Rig) -> None:
    for path in ("/organisations", "/me", "/status"):
        for headers in rig.walls.principals:
            answer = rig.runner.run(rig.http.get(path, headers=headers))
            assert rig.theirs.mark not in answer.text, path


def test_a_route_with_a_parameter_of_a_new_kind_fails_until_somebody_says_whose_it_is() -> None:
    operation = {"parameters": [{"name": "novelty", "in": "path"}]}
    with pytest.raises(KeyError, match="novelty"):
        routes_of({"paths": {"/api/v1/x/{novelty}": {"get": operation}}})


# --- holes that must be found ---------------------------------------------------------------------------------


def _lets_through(patch: pytest.MonkeyPatch) -> None:
    """A handler that asks for the right to read, but not where."""
    patch.setattr(Caller, "require", lambda *_: None)


def _trusts_the_name(patch: pytest.MonkeyPatch) -> None:
    """A query that finds a playbook by its name alone."""
    asked = Bus.ask

    async def ask(self: Bus, subject: str, message: Any, *more: Any, **rest: Any) -> Any:
        if isinstance(message, AskVersion) and message.playbook.startswith("q"):
            message = replace(message, organisation=message.playbook.partition("-")[0] + "-org")
        return await asked(self, subject, message, *more, **rest)

    patch.setattr(Bus, "ask", ask)


def _writes_by_name(patch: pytest.MonkeyPatch) -> None:
    """A command that goes where the name of a secret says."""
    asked = Bus.ask

    async def ask(self: Bus, subject: str, message: Any, *more: Any, **rest: Any) -> Any:
        if subject == "cb.cmd.secret.store" and message.secret.startswith("q"):
            message = replace(message, organisation=message.secret.partition("-")[0] + "-org")
        return await asked(self, subject, message, *more, **rest)

    patch.setattr(Bus, "ask", ask)


def _tells_what_is_there(patch: pytest.MonkeyPatch) -> None:
    """A refusal that says more of an organisation that exists."""
    required = Caller.require

    def require(self: Caller, action: Any, organisation: str, playbook: str | None = None) -> None:
        try:
            required(self, action, organisation, playbook)
        except Problem:
            if organisation.startswith("q"):
                raise
            raise Problem("organisation.unknown", f"there is no organisation {organisation!r}") from None

    patch.setattr(Caller, "require", require)


@pytest.mark.parametrize(
    ("hole", "paths", "told"),
    [
        (_lets_through, ("GET /organisations/<organisation>/playbooks",), "shows|in another way"),
        (_trusts_the_name, ("/versions/1",), "shows|in another way"),
        (_writes_by_name, ("PUT /organisations/<organisation>/secrets/<secret>",), "changed by one of|in another way"),
        (_tells_what_is_there, ("GET /organisations/<organisation>/events",), "in another way"),
    ],
)
def test_a_hole_is_found(
    hole: Callable[[pytest.MonkeyPatch], None], paths: tuple[str, ...], told: str, rig: Rig
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        hole(patch)
        with pytest.raises(Found, match=told):
            rig.hold(100, *paths)


def test_routes_are_read_from_the_description_of_the_api(rig: Rig) -> None:
    assert len(rig.routes) > 80
    assert all(isinstance(route, Route) and json.dumps(route.body) for route in rig.routes)
