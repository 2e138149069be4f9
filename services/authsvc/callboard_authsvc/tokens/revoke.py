"""Revoke a token: refused here from the commit on, and in the edges' caches when the push arrives."""

from __future__ import annotations

from callboard.contracts.access import RevokeToken
from callboard.contracts.playbooks import Done
from callboard.platform.event_store import Connection
from callboard_authsvc.tokens.dependencies import TokenDependencies
from callboard_authsvc.tokens.domain import CLIENT, KEY_ID, Revoke, TokenEvent, stream_of, unknown
from callboard_authsvc.tokens.hold import require_hold


async def revoke_token(command: RevokeToken, use: TokenDependencies) -> Done:
    """Raises `organisation.unknown`, `token.unknown` or `auth.forbidden`. One that is revoked already: seq 0."""
    await use.organisations.require(command.organisation)
    row = await use.table.find(command.key_id) if KEY_ID.fullmatch(command.key_id) else None
    if row is None or row.organisation != command.organisation:
        raise unknown(command.key_id)
    await require_hold(command.by, row, use)

    async def mark(connection: Connection, events: tuple[TokenEvent, ...]) -> None:
        await use.table.revoke(connection, command.organisation, command.key_id, use.clock())

    order = Revoke(client=row.client, key_id=row.key_id)
    outcome = await use.journal.record(command, stream_of(row.client), CLIENT, order, mark)
    # Also when nothing had to change: the caller may be here again because the first push was lost.
    use.push.announce(row.key_id)
    return Done(seq=outcome.seq)
