"""Counting against a plan, without any IO."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from callboard.contracts.events import Event
from callboard.contracts.problems import Problem
from callboard_router.state import Organisation

DAY = 86_400


def playbooks_of(organisation: Organisation) -> int:
    """How many agents can connect to."""
    return sum(playbook.served for playbook in organisation.playbooks.values())


def check_quotas(organisation: Organisation, writes: Mapping[str, Sequence[Event]]) -> bool:
    """Raise `quota.exceeded` when these events make more of what the plan limits than it allows.

    Returns whether they make more of it at all: then they stand on how much there is, and not on their own streams
    alone. What an organisation has already it keeps, whatever plan it gets later.
    """
    limits = organisation.quotas
    if limits.playbooks is None and limits.servers is None:
        return False
    after = organisation.copy()
    for events in writes.values():
        for event in events:
            after.fold(event)
    counted = (
        ("playbooks", limits.playbooks, playbooks_of(organisation), playbooks_of(after)),
        ("servers", limits.servers, len(organisation.registered()), len(after.registered())),
    )
    for what, limit, before, now in counted:
        if limit is not None and now > limit and now > before:
            message = f"the plan {organisation.plan!r} allows {limit} {what}, and these would be {now}"
            raise Problem("quota.exceeded", message, quota=what, limit=limit)
    return any(limit is not None and now > before for _, limit, before, now in counted)


class Meter:
    """The calls of one organisation on one day: what all routers had written, and what this one has yet to write."""

    __slots__ = ("day", "fresh", "limit", "plan", "touched", "written")

    def __init__(self, plan: str, limit: int) -> None:
        self.plan = plan
        self.limit = limit
        self.day = 0
        self.written = 0
        self.fresh = 0
        self.touched = True

    def take(self, now: float) -> None:
        """Count one call; `quota.exceeded` when the day (in days since the epoch, UTC) has had as many as it may."""
        day = int(now // DAY)
        if day != self.day:
            # What is fresh of yesterday is given up: at most a second's calls.
            self.day, self.written, self.fresh = day, 0, 0
        self.touched = True
        if self.written + self.fresh >= self.limit:
            raise Problem(
                "quota.exceeded",
                f"the plan {self.plan!r} allows {self.limit} calls a day",
                quota="calls_per_day",
                limit=self.limit,
                retry_after=int((day + 1) * DAY - now) + 1,
            )
        self.fresh += 1
