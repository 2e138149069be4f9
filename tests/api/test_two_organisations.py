"""Nothing of one organisation is shown to, or changed by, the people of another one: on any route of the API, and with
any id that agents hold (sessions, events, tasks, states of requests).

CALLBOARD_WALL_TRIES=10000 makes as many tries of the API as one likes.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import httpx2
import pytest
from msgspec.structs import replace

from callboard.contracts.problems import Problem
from callboard.contracts.records import AskVersion
from callboard.platform.bus import Bus
from callboard_edge.api.caller import Caller
from callboard_edge.mcp.sessions import Session, Sessions
from tests.api.conftest import Api
from tests.api.two_organisations import GHOST, Found, Side, Try, ghost_of
from tests.api.wall_rig import Rig, rig, sides
from tests.api.wall_routes import NOT_TRIED, routes_of
from tests.support.backends import wants_containers
from tests.support.event_streams import HandshakeSession
from tests.support.stack import META, Stack
from tests.support.upstreams.launch import command
from tests.support.waiting import PATIENCE

__all__ = ["rig", "sides"]
TRIES = int(os.environ.get("CALLBOARD_WALL_TRIES", "3000"))
pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(wants_containers(), reason="looks into the servers that `callboard up` starts"),
]
ACCEPT = {"Accept": "application/json, text/event-stream"}
CAPABLE = {
    **META,
    "io.modelcontextprotocol/clientCapabilities": {
        "extensions": {"io.modelcontextprotocol/tasks": {}},
        "elicitation": {"form": {}},
    },
}
ASKING = "test_input_required_result_elicitation"
TRIED_BY = ("use", "own", "limited", "nobody")


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
        "GET /me/grants",
        "GET /system/events",
        "GET /system/layer",
        "GET /system/signing-keys",
        "POST /system/signing-keys",
        "POST /system/layer",
        "GET /projections/playbooks/rebuild",
        "POST /projections/playbooks/rebuild",
        "POST /invitations/accept",
        "POST /webhooks/identity",
    }
    assert all(NOT_TRIED.values())


def test_what_names_nobody_shows_nothing_of_others(rig: Rig) -> None:
    for path in ("/organisations", "/me", "/me/grants", "/status"):
        for headers in rig.walls.principals:
            answer = rig.runner.run(rig.http.get(path, headers=headers))
            assert rig.theirs.mark not in answer.text, path


def test_no_service_connects_as_somebody_who_may_pass_the_walls(rig: Rig) -> None:
    logins = rig.runner.run(rig.logins())
    assert [(login["usename"], login["passes"], login["owns"]) for login in logins] == [("callboard_rooms", False, 0)]


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


# --- what agents hold ---


class Handles(NamedTuple):
    """What an agent of the other organisation holds."""

    session: str
    event: str
    task: str
    state: str
    question: str


class Attempt(NamedTuple):
    """One request with handles in it, as `<name>`."""

    verb: str
    headers: dict[str, str]
    body: Any = None


def modern(method: str, told: str = "", /, **params: Any) -> Attempt:
    """A request of the stateless era."""
    headers = {**ACCEPT, "MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method}
    if told:
        headers["Mcp-Name"] = told
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"_meta": CAPABLE, **params}}
    return Attempt("POST", headers, body)


def handshake(verb: str, body: Any = None, **headers: str) -> Attempt:
    """A request in the other's session."""
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    shown = {**ACCEPT, "MCP-Protocol-Version": "2025-11-25", "Mcp-Session-Id": "<session>", **more}
    return Attempt(verb, shown, body if body is None else {"jsonrpc": "2.0", **body})


ATTEMPTS = {
    "tasks/get": modern("tasks/get", "<task>", taskId="<task>"),
    "tasks/cancel": modern("tasks/cancel", "<task>", taskId="<task>"),
    "tasks/update": modern("tasks/update", "<task>", taskId="<task>", inputResponses={}),
    "retry": modern("tools/call", ASKING, name=ASKING, arguments={}, requestState="<state>", inputResponses={
        "<question>": {"action": "accept", "content": {"name": "Eve"}}}),
    "tool": modern("tools/call", "<mark>-server__echo", name="<mark>-server__echo", arguments={"text": "x"}),
    "resource": modern("resources/read", "test://<mark>", uri="test://<mark>"),
    "prompt": modern("prompts/get", "<mark>-prompt", name="<mark>-prompt"),
    "open": modern("callboard/open", playbook="<mark>-playbook"),
    "list in the session": handshake("POST", {"id": 1, "method": "tools/list"}),
    "call in the session": handshake("POST", {"id": 1, "method": "tools/call", "params": {"name": "echo"}}),
    "cancel in the session": handshake("POST", {"method": "notifications/cancelled", "params": {"requestId": 1}}),
    "answer in the session": handshake("POST", {"id": 1, "result": {"action": "accept"}}),
    "follow the session": handshake("GET", Last_Event_ID="<event>"),
    "end the session": handshake("DELETE"),
    "task of the old era": handshake("POST", {"id": 1, "method": "tasks/result", "params": {"taskId": "<task>"}}),
}  # fmt: skip


def _furnish(rig: Rig, stack: Stack, side: Side) -> None:
    """A playbook `MARK-rich` whose servers make tasks and ask questions."""
    servers = {
        "asks": {"command": command("everything", "--transport", "stdio", "--era", "2025")},
        "tasks": {"command": command("tasks", "--era", "2026", "--stdio")},
    }
    body = {
        "servers": servers,
        "playbooks": {f"{side.mark}-rich": {"servers": {name: {"names": "bare"} for name in servers}}},
        "comment": "why",
    }
    applied = rig.runner.run(Api(stack.url, stack.admin_token)("POST", f"/organisations/{side.name}/apply", json=body))
    assert applied.status_code == 200, applied.text


@pytest.fixture(scope="module")
def held(rig: Rig, installation: Stack, sides: tuple[Side, Side]) -> Iterator[Handles]:
    """Handles of theirs, all of them good, before and after whatever is tried with them."""
    for side in sides:
        _furnish(rig, installation, side)
    theirs = sides[1]
    token = theirs.principals["use"]["Authorization"].removeprefix("Bearer ")
    place = installation.endpoint(theirs.name, f"{theirs.mark}-rich")

    async def ask(tool: str, **params: Any) -> dict[str, Any]:
        sent = {"name": tool, "arguments": {}, "_meta": CAPABLE, **params}
        answer = (await installation.rpc(place, "tools/call", sent, token)).json()
        assert "result" in answer, answer
        return dict(answer["result"])

    async def made() -> tuple[HandshakeSession, Handles]:
        session = await HandshakeSession.open(place, token)
        echoing = installation.endpoint(theirs.name, f"{theirs.mark}-playbook")
        other = await HandshakeSession.open(echoing, token)
        reading = other.call(echoing, f"{theirs.mark}-server__progress", {"steps": 2, "interval": 0.1})
        events = [event.id for event in await reading.end() if event.id]
        task = str((await ask("slow_compute", arguments={"seconds": 600, "label": "x"}))["taskId"])
        question = await ask(ASKING)
        [asked] = question["inputRequests"]
        return session, Handles(
            session.headers["Mcp-Session-Id"], events[0], task, str(question["requestState"]), asked
        )

    async def used(session: HandshakeSession, handles: Handles) -> None:
        listed = await session.post(place, {"id": 5, "method": "tools/list"})
        assert ASKING in listed.text
        task = await installation.rpc(
            place, "tasks/get", {"taskId": handles.task, "_meta": CAPABLE}, token, headers={"Mcp-Name": handles.task}
        )
        assert task.json()["result"]["status"] == "working", task.text
        answers = {handles.question: {"action": "accept", "content": {"name": "Ada"}}}
        done = await ask(ASKING, requestState=handles.state, inputResponses=answers)
        assert done["content"][0]["text"] == "Hello, Ada!"

    session, handles = rig.runner.run(made())
    yield handles
    rig.runner.run(used(session, handles))


def _attempt(rig: Rig, ours: Side, theirs: Side, by: str, place: str, attempt: Attempt, handles: Handles) -> None:
    """Raises `Found` unless it is answered as what never was."""
    real = {**handles._asdict(), "mark": theirs.mark}
    ghost = {
        name: value if name == "question" else GHOST if name == "mark" else _ghost_of(name, value)
        for name, value in real.items()
    }
    answers = []
    for ids, organisation in ((real, theirs.name), (ghost, theirs.name.replace(theirs.mark, GHOST))):
        path = {
            "own": f"/p/{ours.name}/{ours.mark}-rich/mcp",
            "theirs": f"/p/{organisation}/{ids['mark']}-rich/mcp",
            "single": "/mcp",
        }[place]
        headers = {**attempt.headers, **(ours.principals[by] if by != "nobody" else {})}
        headers = {name: _filled(value, ids) for name, value in headers.items()}
        body = None if attempt.body is None else json.loads(_filled(json.dumps(attempt.body), ids))
        answer = rig.runner.run(_sent(rig, attempt.verb, path, headers, body))
        answers.append((answer.status_code, _plain(answer.text, ids)))
        if theirs.mark in _plain(answer.text, real):
            raise Found(f"{by} at {place}: {answer.text[:300]}")
    if answers[0] != answers[1]:
        raise Found(f"{by} at {place} is answered in another way than what is not there:\n{answers[0]}\n{answers[1]}")


async def _sent(rig: Rig, verb: str, path: str, headers: dict[str, str], body: Any) -> httpx2.Response:
    return await rig.http.request(verb, f"{rig.base}{path}", headers=headers, json=body, timeout=PATIENCE)


def _ghost_of(name: str, value: str) -> str:
    if name == "event":
        stream, request, number = value.split(".")
        return f"{ghost_of(stream, ' ')}.{request}.{number}"
    return ghost_of(value, " ")


def _filled(text: str, ids: dict[str, str]) -> str:
    for name, value in ids.items():
        text = text.replace(f"<{name}>", value)
    return text


def _plain(text: str, ids: dict[str, str]) -> str:
    text = re.sub(r"\"call_id\":\"\w+\"", "", text)  # each request has one of its own
    for value in sorted(ids.values(), key=len, reverse=True):
        text = text.replace(value, "…")
    return text


@pytest.mark.parametrize("what", ATTEMPTS)
def test_a_handle_of_another_organisation_is_one_that_never_was(
    what: str, rig: Rig, sides: tuple[Side, Side], held: Handles
) -> None:
    for by in TRIED_BY:
        for place in ("own", "theirs", "single"):
            _attempt(rig, *sides, by, place, ATTEMPTS[what], held)


def test_a_session_that_is_refused_as_somebody_elses_is_found(
    rig: Rig, sides: tuple[Side, Side], held: Handles, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def find(self: Sessions, id: str, principal: str) -> Session | None:
        session = await self.read(id)
        if session is not None and session.principal != principal:
            raise Problem("auth.forbidden", "it belongs to somebody else")
        return session

    monkeypatch.setattr(Sessions, "find", find)
    with pytest.raises(Found, match="in another way"):
        _attempt(rig, *sides, "use", "own", ATTEMPTS["list in the session"], held)
