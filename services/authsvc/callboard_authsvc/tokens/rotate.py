"""Replace a token by another one that allows the same; both work for a while."""

from __future__ import annotations

from datetime import timedelta

from callboard.contracts.access import RotateToken, TokenIssued
from callboard.platform.event_store import Connection
from callboard_authsvc.members.rights import require_to_give
from callboard_authsvc.tokens.dependencies import TokenDependencies
from callboard_authsvc.tokens.domain import (
    CLIENT,
    KEY_ID,
    Issue,
    Rotate,
    TokenEvent,
    check_overlap,
    is_live,
    stream_of,
    unknown,
)
from callboard_authsvc.tokens.hold import require_hold
from callboard_authsvc.tokens.issue import answer_of, new_token, row_of, shown_before


async def rotate_token(command: RotateToken, use: TokenDependencies) -> TokenIssued:
    """The new one lives as long as the old one was to live when it was issued.

    Raises `organisation.unknown`, `token.unknown` (also for one that is not live), `auth.forbidden`,
    `argument.invalid`, or `command.reused` for a second delivery.
    """
    check_overlap(command.overlap_seconds)
    await use.organisations.require(command.organisation)
    if (before := await use.journal.handled(command)) is not None:
        raise shown_before(before)
    row = await use.table.find(command.key_id) if KEY_ID.fullmatch(command.key_id) else None
    now = use.clock()
    if row is None or row.organisation != command.organisation or not is_live(row.revoked_at, row.expires_at, now):
        raise unknown(command.key_id)
    principal = await require_hold(command.by, row, use)
    require_to_give(principal, row.scopes, row.organisation)
    token, key_id = new_token(use)
    issue = Issue(
        client=row.client,
        key_id=key_id,
        scopes=row.scopes,
        playbooks=row.playbooks,
        expires_at=None if row.expires_at is None else now + (row.expires_at - row.created_at),
        member=row.member,
    )
    until = now + timedelta(seconds=command.overlap_seconds)
    fresh = row_of(issue, row.organisation, token, use)

    async def replace(connection: Connection, events: tuple[TokenEvent, ...]) -> None:
        if fresh.person is not None and not await use.persons.table.hold(connection, row.organisation, fresh.person):
            raise unknown(row.key_id)
        await use.table.insert(connection, fresh)
        await use.table.rotate(connection, row.organisation, row.key_id, key_id, until)

    order = Rotate(former=row.key_id, until=until, issue=issue)
    outcome = await use.journal.record(command, stream_of(row.client), CLIENT, order, replace)
    if outcome.replayed:
        raise shown_before(outcome)
    # An edge that knows the old one would go on until it asks again, past its new end.
    use.push.announce_change(row.key_id)
    return answer_of(issue, token)
