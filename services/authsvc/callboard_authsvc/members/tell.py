"""Tell the edges that what a member may do is another thing now."""

from __future__ import annotations

from datetime import timedelta

from callboard.kernel.names import PERSON_PREFIX
from callboard_authsvc.adapters.member_table import MemberTable
from callboard_authsvc.adapters.revocation_push import RevocationPush
from callboard_authsvc.clock import Clock
from callboard_authsvc.people.session_keys import external_key, principal_key

RECENT = timedelta(minutes=10)
"""Longer than an edge keeps what it knows of a key."""


class MemberNews:
    """Every edge forgets the member's keys within the time that a message takes, and asks again."""

    def __init__(self, table: MemberTable, push: RevocationPush, clock: Clock) -> None:
        self._table = table
        self._push = push
        self._clock = clock

    async def changed(self, organisation: str, member: str) -> None:
        """After the commit of a change. Keys that ended with it are revoked, all others looked up again."""
        if member.startswith(PERSON_PREFIX):
            self._push.announce_change(external_key(member))
        for key in await self._table.keys_of(organisation, member, self._clock() - RECENT):
            if key.ended:
                self._push.announce(key.key_id)
            else:
                self._push.announce_change(principal_key(key.key_id) if key.session else key.key_id)

    async def repeat_recent(self) -> None:
        """At a start: an instance may have ended between its commit and its push."""
        for organisation, member in await self._table.changed_since(self._clock() - RECENT):
            await self.changed(organisation, member)
