"""Signing in to upstreams without a database: the ports in memory, and a person with a browser."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from callboard.contracts.access import EVERY_ORGANISATION, Principal
from callboard.contracts.definitions import ServerDefinition
from callboard.contracts.problems import Problem
from callboard.contracts.upstream_sign_in import (
    AskUpstreamToken,
    BeginSignIn,
    FinishSignIn,
    SignInFinished,
    UpstreamSignOut,
    UpstreamToken,
)
from callboard_authsvc.upstream_oauth.begin import begin_sign_in
from callboard_authsvc.upstream_oauth.domain import Challenge, Client, Flow, Grant, Whose
from callboard_authsvc.upstream_oauth.finish import finish_sign_in
from callboard_authsvc.upstream_oauth.ports import Fetch, Held, Here, Line, SignInDependencies
from callboard_authsvc.upstream_oauth.usable import usable_token
from tests.support.ways_out import LOCAL

BROWSER = "the browser of the test"
PERSON = "person-of-the-test"
HERE = Here(redirect_uri="http://localhost:8700/oauth/callback", document="", connect="http://localhost:8700/connect")


@dataclass
class Memory:
    """All the ports at once."""

    definitions: dict[tuple[str, str], ServerDefinition] = field(default_factory=dict)
    values: dict[tuple[str, str], str] = field(default_factory=dict)
    held: dict[Whose, Held] = field(default_factory=dict)
    leases: dict[Whose, int] = field(default_factory=dict)
    clients: dict[tuple[str, str], Client] = field(default_factory=dict)
    links: dict[str, tuple[Whose, Challenge]] = field(default_factory=dict)
    parked: dict[str, tuple[str, Flow]] = field(default_factory=dict)
    written: list[tuple[str, Whose]] = field(default_factory=list)

    async def definition(self, organisation: str, server: str) -> ServerDefinition | None:
        return self.definitions.get((organisation, server))

    async def value(self, organisation: str, secret: str) -> str:
        if (organisation, secret) not in self.values:
            raise Problem("secret.unknown", f"the vault has no secret {secret}")
        return self.values[organisation, secret]

    async def signed_in(self, whose: Whose, grant: Grant, actor: str) -> None:
        await Grants(self).keep(whose, grant, None)
        self.written.append(("signed in", whose))

    async def lost(self, whose: Whose) -> None:
        self.written.append(("lost", whose))

    async def signed_out(self, command: UpstreamSignOut, whose: Whose) -> int:
        self.held.pop(whose, None)
        self.written.append(("signed out", whose))
        return len(self.written)


class Anybody:
    """One person, who administers the installation."""

    async def of(self, person: str) -> Principal | None:
        known = Principal(
            key_id="", client=person, organisation=EVERY_ORGANISATION, scopes=("administer",), member=person
        )
        return known if person == PERSON else None


class Nobody:
    """No person is anybody any more."""

    async def of(self, person: str) -> Principal | None:
        return None


class Grants:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def find(self, whose: Whose) -> Held | None:
        return self._memory.held.get(whose)

    async def keep(self, whose: Whose, grant: Grant, over: int | None) -> int | None:
        before = self._memory.held.get(whose)
        if over is not None and (before is None or before.version != over):
            return None
        version = 1 if before is None else before.version + 1
        self._memory.held[whose] = Held(grant, version)
        self._memory.leases.pop(whose, None)
        return version

    async def lease(self, whose: Whose, version: int, seconds: float) -> bool:
        held = self._memory.held.get(whose)
        if whose in self._memory.leases or held is None or held.version != version or held.lost:
            return False
        self._memory.leases[whose] = version
        return True

    async def release(self, whose: Whose, version: int) -> None:
        self._memory.leases.pop(whose, None)

    async def lose(self, whose: Whose, version: int) -> None:
        held = self._memory.held[whose]
        if held.version == version:
            self._memory.held[whose] = Held(held.grant, version, lost=True)
        self._memory.leases.pop(whose, None)

    async def lines(self, organisation: str, server: str) -> list[Line]:
        return []


class Clients:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def find(self, organisation: str, issuer: str) -> Client | None:
        return self._memory.clients.get((organisation, issuer))

    async def keep(self, organisation: str, issuer: str, client: Client) -> None:
        self._memory.clients[organisation, issuer] = client

    async def drop(self, organisation: str, issuer: str, client_id: str) -> None:
        self._memory.clients.pop((organisation, issuer), None)


class SignIns:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def open(self, whose: Whose, challenge: Challenge) -> str:
        handle = next(
            (handle for handle, (owner, _) in self._memory.links.items() if owner == whose), os.urandom(8).hex()
        )
        self._memory.links[handle] = (whose, challenge)
        return handle

    async def look(self, handle: str) -> tuple[Whose, Challenge] | None:
        return self._memory.links.get(handle)

    async def park(self, handle: str, state: str, flow: Flow) -> bool:
        self._memory.parked = {s: (h, f) for s, (h, f) in self._memory.parked.items() if h != handle}
        self._memory.parked[state] = (handle, flow)
        return handle in self._memory.links

    async def take(self, state: str) -> Flow | None:
        handle, flow = self._memory.parked.pop(state, ("", None))
        self._memory.links.pop(handle, None)
        return flow


def wired(memory: Memory, fetch: Fetch = LOCAL.fetch, here: Here = HERE) -> SignInDependencies:
    return SignInDependencies(
        fetch=fetch,
        grants=Grants(memory),
        clients=Clients(memory),
        sign_ins=SignIns(memory),
        servers=memory,
        secrets=memory,
        journal=memory,
        standings=Anybody(),
        here=here,
        clock=time.time,
        chance=os.urandom,
    )


def answer_in(location: str, browser: str = BROWSER) -> FinishSignIn:
    """What the callback takes out of the URL that the browser was sent back to."""
    query: Mapping[str, list[str]] = parse_qs(urlsplit(location).query)

    def one(name: str) -> str | None:
        return query[name][0] if name in query else None

    return FinishSignIn(
        browser=browser,
        state=one("state") or "",
        code=one("code"),
        iss=one("iss"),
        error=one("error"),
        person=PERSON,
    )


async def consented(link: str, use: SignInDependencies) -> SignInFinished:
    """A person follows the link, and an authorization server that asks nothing sends the browser back at once."""
    handle = link.rpartition("/")[2]
    begun = await begin_sign_in(BeginSignIn(handle=handle, browser=BROWSER, person=PERSON), use)
    back = await use.fetch("GET", begun.url)
    return await finish_sign_in(answer_in(back.headers.get("location", "")), use)


class Attended:
    """What a connector asks for tokens, with a person beside it who follows every link."""

    def __init__(self, use: SignInDependencies) -> None:
        self._use = use

    async def token(self, question: AskUpstreamToken) -> UpstreamToken:
        attended = AskUpstreamToken(
            organisation=question.organisation,
            server=question.server,
            subject=question.subject,
            attended=True,
            status=question.status,
            challenge=question.challenge,
            refused=question.refused,
        )
        try:
            return await usable_token(attended, self._use)
        except Problem as problem:
            if problem.code != "server.sign_in_needed":
                raise
            await consented(problem.data["url"], self._use)
        return await usable_token(
            AskUpstreamToken(organisation=question.organisation, server=question.server, subject=question.subject),
            self._use,
        )
