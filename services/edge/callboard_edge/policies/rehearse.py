"""What would become of expected attempts and of recorded calls under policies that are not set yet.

The router decides (`cb.ask.router.test_policies`), by the code that decides about callers; this gathers what to ask.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from callboard.contracts import policy_subjects, subjects
from callboard.contracts.access import AskTokens, TokenLine, Tokens
from callboard.contracts.calls import CallRecord
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
MAX_CALLS: Final = 20_000
MAX_DAYS: Final = 90.0
_SECONDS: Final = 60.0


class Askers:
    """Attempts as the router knows callers: persons' names sealed, and of a token its client and its member too."""

    def __init__(self, bus: Bus, names: Names, organisation: str) -> None:
        self._bus = bus
        self._names = names
        self._organisation = organisation
        self._tokens: dict[str, TokenLine] | None = None

    async def attempt(self, said: Attempt) -> Attempt:
        """One that somebody wrote."""
        if said.at is not None and said.at.tzinfo is None:
            raise Problem("argument.invalid", "`at` needs its time zone, like 2026-11-20T14:05:00Z")
        token = (await self._known()).get(said.key) if said.key else None
        client = await self._names.sealed(self._organisation, said.client)
        return msgspec.structs.replace(
            said,
            client=client or (token.client if token is not None else ""),
            member=said.member or (token.member if token is not None else ""),
        )

    async def recorded(self, records: list[CallRecord]) -> list[Attempt]:
        """Recorded calls. Their arguments are not looked at: most playbooks record none."""
        tokens = await self._known() if records else {}
        return [
            Attempt(
                playbook=record.playbook,
                name=record.tool,
                client=record.client,
                key=record.principal,
                member=tokens[record.principal].member if record.principal in tokens else "",
                at=record.started_at,
            )
            for record in records
        ]

    async def _known(self) -> dict[str, TokenLine]:
        if self._tokens is None:
            found = await self._bus.ask(subjects.TOKENS, AskTokens(organisation=self._organisation), Tokens)
            self._tokens = {token.key_id: token for token in found.tokens}
        return self._tokens


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
    records, complete = await _recorded(bus, organisation, wish.days) if wish.days else ([], True)
    tried = await _tried(bus, organisation, wish, await askers.recorded(records))
    denied = _denied(zip(records, tried, strict=True))
    return PolicyRehearsed(
        as_expected=not surprises, surprises=surprises, denied=denied, calls=len(records), complete=complete
    )


async def _tried(bus: Bus, organisation: str, wish: PolicyRehearsal, attempts: list[Attempt]) -> list[Tried]:
    found: list[Tried] = []
    # Without attempts too, so that faults of the policies are told.
    for start in range(0, max(len(attempts), 1), _PAGE):
        question = AskPolicyTest(
            organisation=organisation,
            policies=wish.policies,
            attempts=tuple(attempts[start : start + _PAGE]),
            only=wish.only,
        )
        answer = await bus.ask(policy_subjects.TEST_POLICIES, question, PolicyTested, within=_SECONDS)
        found += answer.tried
    return found


async def _recorded(bus: Bus, organisation: str, days: float) -> tuple[list[CallRecord], bool]:
    """Calls of tools that were sent, newest first, and whether these are all."""
    since, cursor = datetime.now(UTC) - timedelta(days=days), ""
    found: list[CallRecord] = []
    while True:
        question = AskCalls(organisation=organisation, since=since, limit=_PAGE, cursor=cursor)
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
