"""Callers whom this edge refused because it does not know them: counted in memory, told to authsvc in bursts.

A caller that is let in costs nothing here. Whoever tries very often is one number; what authsvc is told has a bound, as
has what it writes into the log (`authsvc/refusals/`).
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Final, NamedTuple

import structlog

from callboard.contracts.playbooks import Done
from callboard.contracts.problems import Problem
from callboard.contracts.refusals import NOTE_REFUSALS, NoteRefusals, RefusedCallers
from callboard.contracts.sign_in_events import Door
from callboard.kernel.addresses import network_of
from callboard.kernel.names import is_slug
from callboard.kernel.tally import Tally
from callboard.kernel.tokens import key_id_of
from callboard.platform.bursts import in_bursts
from callboard.platform.bus import Bus
from callboard.platform.event_store import new_id

log = structlog.get_logger()
MOST_TOLD_APART: Final = 200
_REASONS: Final = frozenset({"auth.invalid", "auth.malformed"})
"""Without a key nobody tried to be anybody, and who is known and may not is in the call records."""

_AWAY: Final = frozenset({"bus.unavailable", "database.unavailable"})
_MOST_TRIES: Final = 5
"""For a message at which something unexpected fails: one that nobody can take must not hold up the next."""


class _Caller(NamedTuple):
    door: Door
    reason: str
    organisation: str
    key_id: str
    network: str


class Refusals:
    """Of this instance; `run` is its task."""

    def __init__(self, bus: Bus, every_seconds: float) -> None:
        self._bus = bus
        self._every = every_seconds
        self._tally: Tally[_Caller] = Tally(MOST_TOLD_APART)
        self._since = datetime.now(UTC)
        self._some = asyncio.Event()
        self._unanswered: NoteRefusals | None = None
        self._tries = 0

    def note(self, door: Door, problem: Problem, organisation: str, authorization: str | None, address: str) -> None:
        """Count a refusal, if it is one of somebody who is not known. `organisation`: whose URL was asked."""
        if problem.code not in _REASONS:
            return
        if not self._tally:
            self._since = datetime.now(UTC)
        key_id = key_id_of((authorization or "").rpartition(" ")[2]) or ""
        named = organisation if is_slug(organisation) else ""
        self._tally.add(_Caller(door, problem.code, named, key_id, network_of(address)))
        self._some.set()

    async def run(self) -> None:
        """Tell until cancelled."""
        await in_bursts(self._some, self.flush, self._every)

    async def flush(self) -> None:
        """Tell what was counted. What was not answered is told again first, as the same message."""
        self._some.clear()
        if self._unanswered is None and self._tally:
            counted, others = self._tally.take()
            self._tries = 0
            self._unanswered = NoteRefusals(
                command_id=new_id(),
                since=self._since,
                until=datetime.now(UTC),
                lines=tuple(_line(caller, count) for caller, count in counted),
                others=others,
            )
        if self._unanswered is None:
            return
        try:
            await self._bus.ask(NOTE_REFUSALS, self._unanswered, Done)
        except Exception as error:
            if not self._given_up(error):
                self._some.set()
                return
        self._unanswered = None
        if self._tally:
            self._some.set()

    def _given_up(self, error: Exception) -> bool:
        code = error.code if isinstance(error, Problem) else "internal.unexpected"
        if code in _AWAY:
            log.info("refusals_not_told_yet", code=code)
            return False
        self._tries += 1
        given_up = code != "internal.unexpected" or self._tries >= _MOST_TRIES
        unexpected = None if isinstance(error, Problem) else error
        log.warning("refusals_not_told", code=code, given_up=given_up, exc_info=unexpected)
        return given_up


def _line(caller: _Caller, count: int) -> RefusedCallers:
    return RefusedCallers(
        door=caller.door,
        reason=caller.reason,
        count=count,
        organisation=caller.organisation,
        key_id=caller.key_id,
        address=caller.network,
    )
