"""What is told of refusals, and how much at most, whoever tries how often. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from callboard.contracts.layers import SYSTEM
from callboard.contracts.sign_in_events import Door, Refused
from callboard.kernel.addresses import network_of
from callboard_authsvc.people.domain import MAX_EMAIL
from callboard_authsvc.tokens.domain import KEY_ID

MOST_TOLD_APART: Final = 500
"""Attempts that one instance tells apart between two writes."""
MOST_LINES: Final = 20
"""In one event."""
MOST_LOGS: Final = 50
"""Logs that get an event at once: somebody may know the accounts of many organisations."""
REASONS: Final = frozenset({"login.refused", "login.too_many", "reset.unknown", "oauth.refused"})
"""The refusals that say: this one is not who it says. Others are of people who are known."""
_MAX_CLIENT_ID: Final = 2000


class Shown(NamedTuple):
    """By what somebody said who they are; at most one of these."""

    email: str = ""
    client_id: str = ""
    key_id: str = ""
    organisation: str = ""

    @property
    def bounded(self) -> Shown:
        """What may be kept in memory and looked up: what is longer, or no id at all, is nobody's."""
        return self._replace(
            email=self.email if len(self.email) <= MAX_EMAIL else "",
            client_id=self.client_id if len(self.client_id) <= _MAX_CLIENT_ID else "",
            key_id=self.key_id if KEY_ID.fullmatch(self.key_id) else "",
        )


class Attempt(NamedTuple):
    """What is counted as one. `organisation` of what was shown: whose URL was asked."""

    door: Door
    reason: str
    shown: Shown
    network: str


class Batch(NamedTuple):
    """What is written at once: attempts, how often each, and how many others. The same id again writes nothing."""

    command_id: str
    since: datetime
    until: datetime
    counted: Sequence[tuple[Attempt, int]]
    others: int

    @property
    def size(self) -> int:
        """How many attempts it tells of."""
        return sum(count for _, count in self.counted) + self.others


class Found(NamedTuple):
    """An attempt that was looked up: whose logs tell of it, and in which words."""

    logs: tuple[str, ...]
    line: Refused


class Told(NamedTuple):
    """What one log gets."""

    lines: tuple[Refused, ...]
    others: int

    @property
    def words(self) -> str:
        """For people, and of constants alone: nobody chooses what stands here."""
        doors: Counter[str] = Counter()
        for line in self.lines:
            doors[line.door] += line.count
        parts = [f"{count} at {door}" for door, count in sorted(doors.items())]
        return ", ".join([*parts, f"{self.others} others"] if self.others else parts)


def attempt_of(door: Door, reason: str, shown: Shown, address: str) -> Attempt:
    """With nothing in it that is too long, or of which one caller has too many."""
    return Attempt(door, reason, shown.bounded, network_of(address))


def by_log(found: Iterable[Found], others: int) -> dict[str, Told]:
    """What each log is told; what is too much for one is a number in it, and what is too many logs, in the system's."""
    counts: dict[str, Counter[tuple[Door, str, str, str]]] = defaultdict(Counter)
    for logs, line in found:
        for log in logs:
            counts[log][(line.door, line.reason, line.account, line.address)] += line.count
    kept = sorted(counts, key=lambda log: (log != SYSTEM, -counts[log].total(), log))[:MOST_LOGS]
    others += sum(counts[log].total() for log in counts.keys() - set(kept))
    told = {log: _told(counts[log]) for log in kept}
    if others:
        system = told.get(SYSTEM, Told((), 0))
        told[SYSTEM] = system._replace(others=system.others + others)
    return told


def _told(counts: Mapping[tuple[Door, str, str, str], int]) -> Told:
    ordered = sorted(counts.items(), key=lambda counted: (-counted[1], counted[0]))
    lines = tuple(
        Refused(door=door, reason=reason, count=count, account=account, address=address)
        for (door, reason, account, address), count in ordered[:MOST_LINES]
    )
    return Told(lines, sum(count for _, count in ordered[MOST_LINES:]))
