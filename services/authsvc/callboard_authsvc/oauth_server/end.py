"""The end of a grant: the row, the event, and every edge told."""

from __future__ import annotations

from typing import Protocol

from callboard.contracts.access_events import GrantEnd
from callboard.contracts.oauth_server import RevokeGrant
from callboard.platform.event_store import Connection, new_id
from callboard_authsvc.adapters.oauth_grant_table import OAuthGrantTable
from callboard_authsvc.adapters.revocation_push import RevocationPush
from callboard_authsvc.clock import Clock
from callboard_authsvc.journal import Journal
from callboard_authsvc.members.tell import RECENT
from callboard_authsvc.oauth_server.domain import GRANT, End, Grant, GrantEvent, NoteGrant, stream_of


class Ending(Protocol):
    """What it takes: part of the dependencies of this folder, and of `people`."""

    @property
    def journal(self) -> Journal:
        """Of every organisation."""

    @property
    def grants(self) -> OAuthGrantTable:
        """Where they stand."""

    @property
    def push(self) -> RevocationPush:
        """Tells the edges."""

    @property
    def clock(self) -> Clock:
        """Now."""


async def end_grant(
    grant: Grant,
    reason: GrantEnd,
    actor: str,
    use: Ending,
    *,
    generation: int = 0,
    command: RevokeGrant | None = None,
) -> int:
    """The `seq` of the event; 0 when it had ended, or is in no organisation. `command`: who wants it, if somebody."""

    async def mark(connection: Connection, events: tuple[GrantEvent, ...] = ()) -> None:
        await use.grants.revoke(connection, grant.gid, use.clock(), reason)

    seq = 0
    if grant.organisation:
        note = command or NoteGrant(command_id=new_id(), organisation=grant.organisation, grant=grant.gid, actor=actor)
        order = End(gid=grant.gid, member=grant.member, reason=reason, generation=generation)
        seq = (await use.journal.record(note, stream_of(grant.gid), GRANT, order, mark)).seq
    else:
        async with use.grants.pool.acquire() as connection, connection.transaction():
            await mark(connection)
    # Also when nothing had to change: the first push may have been lost.
    use.push.announce(grant.gid)
    return seq


async def tell_of_grants(grants: list[Grant], use: Ending) -> None:
    """The events of grants whose rows ended with a person's old password; the edges are told before."""
    for grant in grants:
        use.push.announce(grant.gid)
    for grant in grants:
        await end_grant(grant, "password", grant.member, use)


async def announce_recent_ends(use: Ending) -> None:
    """Tell again of what ended lately: an instance may have ended between its commit and its push."""
    for gid in await use.grants.revoked_since(use.clock() - RECENT):
        use.push.announce(gid)
