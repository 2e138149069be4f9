"""Two organisations with everything doubled, and tries of one's people to get at what is the other's.

A try is a request with at least one id of the other organisation in it, made by a principal of the first. Beside it
goes the same request with ids in their places that never were: both must be answered alike. Nothing of the other
organisation stands in an answer but the ids that the request itself named, and nothing in its rows changes.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx2

from tests.api.conftest import Api
from tests.api.test_people_api import join
from tests.api.wall_routes import Route
from tests.support.stack import Stack
from tests.support.upstreams.launch import command
from tests.support.waiting import PATIENCE, eventually

ROLES = ("viewer", "manager", "owner")
LEVELS = ("use", "read", "operate", "manage", "govern", "own")
GHOST = "never"
"""Stands where an id has the mark of its organisation; as long as a mark."""


class Side(NamedTuple):
    """One organisation: `mark` is part of every name and text in it, `ids` are by kind."""

    name: str
    mark: str
    ids: dict[str, list[str]]
    principals: dict[str, dict[str, str]]


async def furnish(stack: Stack, admin: Api, mark: str, *arguments: str) -> Side:
    """An organisation with one of everything."""
    name = f"{mark}-org"
    at, playbook, server = f"/organisations/{name}", f"{mark}-playbook", f"{mark}-server"
    await _done(admin, "POST", "/organisations", organisation=name, title=mark)
    await _done(admin, "PUT", f"{at}/secrets/{mark}-secret", value=f"{mark}-value")
    for title in ("one", "two"):
        wanted = {
            "servers": {server: {"command": command("echo", "--stdio", *arguments)}},
            "playbooks": {
                playbook: {
                    "title": f"{mark} {title}",
                    "instructions": f"of {mark}",
                    "servers": {server: {}},
                    "record": {"arguments": True, "results": True},
                }
            },
        }
        await _done(admin, "POST", f"{at}/apply", **wanted, comment=f"{mark} why")
    of_playbook = f"{at}/playbooks/{playbook}"
    await _done(admin, "POST", f"{at}/layer", layer={"instructions": mark}, comment=mark)
    await _done(admin, "POST", f"{at}/projects", project=f"{mark}-project", title=mark)
    await _done(admin, "PUT", f"{of_playbook}/project", project=f"{mark}-project")
    await _done(admin, "POST", f"{at}/projects/{mark}-project/layer", layer={"instructions": mark}, comment=mark)
    await _done(admin, "PUT", f"{of_playbook}/pins/{mark}-client", version=1, comment=mark)
    await _done(admin, "POST", f"{of_playbook}/draft", edits=[{"path": ["title"], "value": f"{mark} draft"}])
    await _done(admin, "POST", f"{at}/consumers", consumer=f"{mark}-consumer")
    await _done(admin, "POST", f"{at}/service-accounts", account=f"{mark}-account", role="viewer")
    careful = {"for": {"clients": [f"{mark}-nobody"]}, "read_only": True}
    await _done(admin, "PUT", f"{at}/policies/{mark}-policy", definition=careful, comment=f"{mark} why")
    hook = {"webhook": f"{mark}-hook", "url": "https://example.com/hook", "kinds": ["never.*"]}
    await _done(admin, "POST", f"{at}/webhooks", **hook)
    oauth_client = await _granted(stack, admin, at, f"{mark}-account", stack.endpoint(name, playbook))
    invited = await _done(admin, "POST", f"{at}/invitations", role="viewer")
    token = await _done(admin, "POST", f"{at}/tokens", client=f"{mark}-person", person=True, scopes=["use"])
    principals = {level: await _token(admin, at, f"{mark}-{level}", scopes=[level]) for level in LEVELS}
    principals["limited"] = await _token(admin, at, f"{mark}-limited", scopes=["manage"], playbooks=[playbook])
    members = [f"{mark}-account"]
    for role in ROLES:
        browser = await join(stack, admin, name, role, f"{role}@{mark}.example")
        members.append(browser.person)
        principals[f"{role} in a browser"] = {"Cookie": browser.cookie, "X-CSRF-Token": browser.me["csrf"]}
    version = await _done(admin, "GET", f"{of_playbook}/versions/2")
    tools = version["content"]["tools"]
    tool = f"{server}__echo"
    calls = await _called(stack, admin, name, playbook, tool, str(token["token"]))
    events = (await _done(admin, "GET", f"{at}/events?limit=1000"))["events"]
    exported = (await admin("GET", f"{of_playbook}/export")).text
    ids = {
        "organisation": [name],
        "playbook": [playbook],
        "server": [server],
        "secret": [f"{mark}-secret"],
        "project": [f"{mark}-project"],
        "consumer": [f"{mark}-consumer"],
        "client": [f"{mark}-client", f"{mark}-use"],
        "account": [f"{mark}-account"],
        "email": [f"owner@{mark}.example"],
        "invitation": [invited["invitation"]],
        "member": members,
        "key": [line["key_id"] for line in (await _done(admin, "GET", f"{at}/tokens"))["tokens"]],
        "person": [line["person"] for line in (await _done(admin, "GET", f"{at}/persons"))["persons"]],
        "call": [line["call_id"] for line in calls],
        "trace": [line["trace_id"] or os.urandom(16).hex() for line in calls],
        "event": [event["event_id"] for event in events],
        "digest": [pinned["digest"] for pinned in tools.values()],
        "tool": [*tools],
        "webhook": [f"{mark}-hook"],
        "policy": [f"{mark}-policy"],
        "oauth_client": [oauth_client],
        "grant": [line["grant"] for line in (await _done(admin, "GET", f"{at}/grants"))["grants"]],
        "hash": [(await _done(admin, "GET", f"{at}/audit/rows?limit=1"))["rows"][0]["hash"]],
        "export": [exported],
    }
    return Side(name, mark, ids, principals)


async def _done(admin: Api, method: str, path: str, **body: Any) -> Any:
    answer = await admin(method, path, **({"json": body} if body else {}))
    assert answer.status_code < 300, f"{method} {path}: {answer.text}"
    return answer.json()


async def _token(admin: Api, at: str, client: str, **wanted: Any) -> dict[str, str]:
    issued = await _done(admin, "POST", f"{at}/tokens", client=client, **wanted)
    return {"Authorization": f"Bearer {issued['token']}"}


async def _granted(stack: Stack, admin: Api, at: str, account: str, resource: str) -> str:
    """An OAuth client of a service account, which has a grant; its id."""
    client = await _done(admin, "POST", f"{at}/oauth-clients", account=account)
    asked = {"grant_type": "client_credentials", "resource": resource}
    async with httpx2.AsyncClient() as http:
        answer = await http.post(
            f"{stack.url}/token", data={**asked, **{k: client[k] for k in ("client_id", "client_secret")}}
        )
    assert answer.status_code == 200, answer.text
    return str(client["client_id"])


async def _called(
    stack: Stack, admin: Api, organisation: str, playbook: str, tool: str, token: str
) -> list[dict[str, Any]]:
    """Two calls that are in the call log."""
    for _ in range(2):
        call = {"name": tool, "arguments": {"text": organisation}}
        answer = await stack.rpc(stack.endpoint(organisation, playbook), "tools/call", call, token)
        assert "result" in answer.json(), answer.text

    async def recorded() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await _done(admin, "GET", f"/organisations/{organisation}/calls"))["calls"]
        return found if len(found) >= 2 else []

    return await eventually(recorded)


class Try(NamedTuple):
    """Which request, by whom, with the other organisation in its place (`abroad`) or the own one, and what else."""

    route: int
    principal: int
    abroad: bool
    choice: int


class Found(AssertionError):
    """A wall with a hole."""


class Walls:
    """Makes tries, and looks what came of them."""

    def __init__(self, http: httpx2.AsyncClient, routes: list[Route], ours: Side, theirs: Side) -> None:
        self._http = http
        self.routes = routes
        self._ours = ours
        self._theirs = theirs
        self.principals = list(ours.principals.values())
        self.made = 0
        own = {value for values in ours.ids.values() for value in values}
        # What both have (a tool that is the same on both servers) is nobody's secret.
        self._ids = {kind: [value for value in values if value not in own] for kind, values in theirs.ids.items()}
        self._ids.pop("export")
        self._secret = {value for values in self._ids.values() for value in values}
        self._given = set[str]()
        # Whoever has an export has all that is in it: they can try with their own only.
        self._ids["export"] = ours.ids["export"]

    def possible(self, one: Try) -> bool:
        """Whether there is something of theirs to name."""
        kinds = self.routes[one.route].kinds
        return "organisation" in kinds if one.abroad else bool(kinds - {"organisation"})

    async def attempt(self, one: Try) -> None:
        """Raises `Found`."""
        route = self.routes[one.route]
        real = dict(self._chosen(route, one))
        ghost = {k: v if k == "export" else ghost_of(v, self._theirs.mark) for k, v in real.items()}
        if not one.abroad:
            real["organisation"] = ghost["organisation"] = self._ours.name
        left_out = {name for n, name in enumerate(sorted(route.query)) if one.choice >> (n + 6) & 1} - route.required
        headers = {**route.headers, **self.principals[one.principal]}
        theirs = await self._sent(route, real, left_out, headers)
        nobodys = await self._sent(route, ghost, left_out, headers)
        self.made += 1
        what = f"{route.method} {_filled(route.path, real)} {[*self._ours.principals][one.principal]}"
        if not one.abroad and route.method != "GET" and theirs.is_success:
            self._given |= _ids_of(real)  # something of the own organisation may bear these names from now on
        self._nothing_shown(what, theirs, _ids_of(real) if one.abroad else _ids_of(real) | self._given)
        told, expected = _plain(theirs, real), _plain(nobodys, ghost)
        if told != expected:
            raise Found(f"{what} is answered in another way than what is not there:\n{told}\n{expected}")

    def _chosen(self, route: Route, one: Try) -> Iterator[tuple[str, str]]:
        for kind in sorted(route.kinds | {"organisation"}):
            values = self._ids[kind]
            yield kind, values[one.choice % len(values)]

    async def _sent(
        self, route: Route, ids: Mapping[str, str], left_out: set[str], headers: dict[str, str]
    ) -> httpx2.Response:
        query = {name: _filled(value, ids) for name, value in route.query.items() if name not in left_out}
        more = {} if route.body is None else {"json": _filled(route.body, ids)}
        path = _filled(route.path, {kind: quote(value, safe="") for kind, value in ids.items()})
        async with asyncio.timeout(PATIENCE):
            return await self._http.request(route.method, path, params=query, headers=headers, **more)

    def _nothing_shown(self, what: str, answer: httpx2.Response, named: set[str]) -> None:
        text = answer.text
        for value in _told(named):
            text = text.replace(value, "")
        if self._theirs.mark in text:
            raise Found(f"{what} shows something of theirs: {answer.text[:400]}")
        shown = {value for value in self._secret if value in text}
        if shown:
            raise Found(f"{what} shows {shown}")


def _ids_of(named: Mapping[str, str]) -> set[str]:
    return {value for kind, value in named.items() if kind != "export"}


def _told(ids: set[str]) -> list[str]:
    """Ids as they may come back in an answer, the longest first."""
    return sorted(ids | {json.dumps(value)[1:-1] for value in ids}, key=len, reverse=True)


def _filled(place: Any, ids: Mapping[str, str]) -> Any:
    match place:
        case str():
            if place == "<export>":
                return json.loads(ids["export"])
            return re.sub(r"<(\w+)>", lambda found: ids[found[1]], place)
        case dict():
            return {_filled(key, ids): _filled(value, ids) for key, value in place.items()}
        case list():
            return [_filled(value, ids) for value in place]
    return place


def ghost_of(value: str, mark: str) -> str:
    """An id of the same form that never was."""
    if mark in value:
        return value.replace(mark, GHOST)
    turned = {"0": "1", "1": "0", "a": "b", "b": "a", "e": "f", "f": "e", "8": "9", "9": "8", "4": "5", "5": "4"}
    return value[:-6] + "".join(turned.get(c, "c" if c != "c" else "d") for c in value[-6:])


def _plain(answer: httpx2.Response, named: Mapping[str, str]) -> tuple[int, Any]:
    """What an answer says apart from the ids that were named: of a refusal every word, else what fields there are."""
    text = answer.text
    for value in _told(_ids_of(named)):
        text = text.replace(value, "…")
    if "json" not in answer.headers.get("content-type", ""):
        return answer.status_code, text
    body = json.loads(text)
    return answer.status_code, body if answer.status_code >= 400 else _shape(body)


def _shape(value: Any) -> Any:
    match value:
        case dict():
            return {key: _shape(inner) for key, inner in value.items()}
        case list():
            return sorted({json.dumps(_shape(inner), sort_keys=True) for inner in value})
    return type(value).__name__
