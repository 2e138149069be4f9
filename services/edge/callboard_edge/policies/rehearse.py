"""What would become of expected attempts and of recorded calls under policies that are not set yet.

The router decides (`cb.ask.router.test_policies`), by the code that decides about callers; this gathers what to ask.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec

from callboard.contracts import oauth_subjects, policy_subjects, subjects
from callboard.contracts.access import AskTokens, Tokens
from callboard.contracts.calls import CallRecord
from callboard.contracts.oauth_server import AskGrants, Grants
from callboard.contracts.people import AskMembers, Members
from callboard.contracts.policies import (
    AskPolicyTest,
    Attempt,
    DeniedCall,
    PolicyRehearsal,
    PolicyRehearsed,
    PolicyTested,
    Surprise,
    Tried,
)
from callboard.contracts.problems import Problem
from callboard.contracts.records import AskCalls, Calls
from callboard.platform.bus import Bus
from callboard_edge.api.names import Names

_PAGE: Final = 500
_BYTES: Final = 400_000
"""Of the arguments in one question: it has to fit into a message of the bus, also of one with the usual limit."""
MAX_CALLS: Final = 20_000
MAX_DAYS: Final = 90.0
_SECONDS: Final = 60.0
NOT_JUDGED: Final = {
    "limits": "limits",
    "prompts": "prompts (of the records only calls of tools are looked at)",
    "resources": "resources (of the records only calls of tools are looked at)",
}
"""What of a policy recorded calls are not held against; rules about arguments where these were kept."""


class Bearer(NamedTuple):
    """Who comes with a token or a grant, as the router knows it."""

    client: str
    member: str
    oauth_client: str = ""
    ended: bool = False


_NOBODY: Final = Bearer("", "")


class Askers:
    """Attempts as the router knows callers: persons' names sealed, and of a token its client and its member too."""

    def __init__(self, bus: Bus, names: Names, organisation: str) -> None:
        self._bus = bus
        self._names = names
        self._organisation = organisation
        self._bearers: dict[str, Bearer] | None = None
        self._members: set[str] | None = None

    async def attempt(self, said: Attempt) -> Attempt:
        """One that somebody wrote. Raises `token.unknown` and `member.unknown` for who cannot come like that."""
        if said.at is not None and said.at.tzinfo is None:
            raise Problem("argument.invalid", "`at` needs its time zone, like 2026-11-20T14:05:00Z")
        bearer = await self._bearer(said.key) if said.key else _NOBODY
        if said.member and said.member not in await self._known_members():
            raise Problem("member.unknown", f"there is no member {said.member!r}", member=said.member)
        client = await self._names.sealed(self._organisation, said.client)
        return msgspec.structs.replace(
            said,
            client=client or bearer.client,
            member=said.member or bearer.member,
            oauth_client=said.oauth_client or bearer.oauth_client,
        )

    async def _bearer(self, key: str) -> Bearer:
        bearer = (await self._known()).get(key)
        if bearer is None or bearer.ended:
            ended = "there is no" if bearer is None else "nobody comes any more with the revoked"
            raise Problem("token.unknown", f"{ended} token or grant {key!r}", key=key)
        return bearer

    async def recorded(self, records: list[CallRecord]) -> list[Attempt]:
        """Recorded calls, with their arguments where these were kept."""
        bearers = await self._known() if records else {}
        return [
            Attempt(
                playbook=record.playbook,
                name=record.tool,
                client=record.client,
                key=record.principal,
                member=bearers.get(record.principal, _NOBODY).member,
                arguments=kept_arguments(record),
                at=record.started_at,
                oauth_client=bearers.get(record.principal, _NOBODY).oauth_client,
            )
            for record in records
        ]

    async def _known(self) -> dict[str, Bearer]:
        if self._bearers is None:
            tokens = await self._bus.ask(subjects.TOKENS, AskTokens(organisation=self._organisation), Tokens)
            grants = await self._bus.ask(oauth_subjects.GRANTS, AskGrants(organisation=self._organisation), Grants)
            self._bearers = {
                one.key_id: Bearer(one.client, one.member, ended=one.revoked_at is not None) for one in tokens.tokens
            }
            self._bearers |= {
                one.grant: Bearer(one.member, one.member, one.client_id, one.revoked_at is not None)
                for one in grants.grants
            }
        return self._bearers

    async def _known_members(self) -> set[str]:
        if self._members is None:
            found = await self._bus.ask(subjects.MEMBERS, AskMembers(organisation=self._organisation), Members)
            self._members = {one.member for one in found.members}
        return self._members


def kept_arguments(record: CallRecord) -> dict[str, Any] | None:
    """All that were sent; None where they were not kept, or not as they were sent."""
    content = record.content
    if content is None or any(path.startswith("/arguments") for path in content.redacted):
        return None
    return content.arguments if isinstance(content.arguments, dict) else None


async def rehearse(bus: Bus, names: Names, organisation: str, wish: PolicyRehearsal) -> PolicyRehearsed:
    """Raises `policy.invalid`, as setting them would."""
    if not 0 <= wish.days <= MAX_DAYS:
        raise Problem("argument.invalid", f"`days` is at most {MAX_DAYS:g}", argument="days")
    askers = Askers(bus, names, organisation)
    attempts = [await askers.attempt(one.attempt) for one in wish.expect]
    expected = await _tried(bus, organisation, wish, attempts)
    surprises = tuple(
        Surprise(attempt=one.attempt, allowed=tried.then, rule=tried.rule_then)
        for one, tried in zip(wish.expect, expected, strict=True)
        if tried.then != one.allowed
    )
    records, complete = await _recorded(bus, organisation, wish) if wish.days else ([], True)
    made = await askers.recorded(records)
    tried = await _tried(bus, organisation, wish, made)
    denied = _denied(zip(records, tried, strict=True))
    return PolicyRehearsed(
        as_expected=not surprises,
        surprises=surprises,
        denied=denied,
        calls=len(records),
        complete=complete,
        not_judged=tuple(_not_judged(wish, made)) if wish.days else (),
    )


def _not_judged(wish: PolicyRehearsal, made: Sequence[Attempt]) -> Iterator[str]:
    """What these policies say that no recorded call is held against, or some are not."""
    unknown = sum(one.arguments is None for one in made)
    if unknown and _ask_arguments(wish):
        yield f"rules about arguments (of {unknown} of {len(made)} calls these were not kept, or not whole)"
    for field, what in NOT_JUDGED.items():
        if any(getattr(policy, field) for policy in wish.policies.values()):
            yield what


def _ask_arguments(wish: PolicyRehearsal) -> bool:
    return any(policy.arguments for policy in wish.policies.values())


async def _tried(bus: Bus, organisation: str, wish: PolicyRehearsal, attempts: list[Attempt]) -> list[Tried]:
    found: list[Tried] = []
    for some in _pages(attempts):
        question = AskPolicyTest(
            organisation=organisation, policies=wish.policies, attempts=tuple(some), only=wish.only
        )
        answer = await bus.ask(policy_subjects.TEST_POLICIES, question, PolicyTested, within=_SECONDS)
        found += answer.tried
    return found


def _pages(attempts: Sequence[Attempt]) -> Iterator[Sequence[Attempt]]:
    """As many at once as a message takes; one page without any, so that faults of the policies are told."""
    page, size = list[Attempt](), 0
    for attempt in attempts:
        length = 0 if attempt.arguments is None else len(msgspec.json.encode(attempt.arguments))
        if page and (len(page) == _PAGE or size + length > _BYTES):
            yield page
            page, size = [], 0
        page.append(attempt)
        size += length
    yield page


async def _recorded(bus: Bus, organisation: str, wish: PolicyRehearsal) -> tuple[list[CallRecord], bool]:
    """Calls of tools that were sent, newest first, and whether these are all."""
    since, cursor = datetime.now(UTC) - timedelta(days=wish.days), ""
    arguments = _ask_arguments(wish)
    limit = _PAGE // 10 if arguments else _PAGE
    found: list[CallRecord] = []
    while True:
        question = AskCalls(organisation=organisation, since=since, limit=limit, cursor=cursor, arguments=arguments)
        page = await bus.ask(subjects.CALLS_ASKED, question, Calls, within=_SECONDS)
        found += [one for one in page.calls if one.method == "tools/call" and one.outcome != "refused"]
        cursor = page.cursor
        if not cursor or len(found) >= MAX_CALLS:
            return found[:MAX_CALLS], not cursor


def _denied(pairs: Iterable[tuple[CallRecord, Tried]]) -> tuple[DeniedCall, ...]:
    """By playbook, tool, caller and rule, the most frequent first."""
    found: dict[tuple[str, str, str, str], list[str]] = {}
    for record, tried in pairs:
        if tried.now and not tried.then:
            found.setdefault((record.playbook, record.tool, record.client, tried.rule_then), []).append(record.call_id)
    lines = (
        DeniedCall(playbook=playbook, tool=tool, client=client, rule=rule, calls=len(calls), newest=calls[0])
        for (playbook, tool, client, rule), calls in found.items()
    )
    return tuple(sorted(lines, key=lambda line: -line.calls))
