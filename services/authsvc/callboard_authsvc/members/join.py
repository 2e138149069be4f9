"""Use an invitation: whoever has the link becomes a member."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from callboard.contracts.people import Joined
from callboard.contracts.people_events import MemberJoined
from callboard.kernel.tokens import INVITATION_PREFIX, key_id_of
from callboard.platform.event_store import Connection
from callboard_authsvc.adapters.link_table import InvitationRow
from callboard_authsvc.members.acceptance import Acceptance
from callboard_authsvc.members.dependencies import MemberDependencies
from callboard_authsvc.members.domain import MEMBERSHIP, STREAM, Join, MemberEvent, unknown_invitation

First = Callable[[Connection], Awaitable[None]]


async def _nothing(connection: Connection) -> None:
    """The person is there already."""


async def invitation_behind(token: str, use: MemberDependencies) -> InvitationRow:
    """The invitation of a link; `invitation.unknown` for one that is none. It may have been used or have expired."""
    id = key_id_of(token, INVITATION_PREFIX)
    row = await use.links.find_invitation(id) if id is not None else None
    genuine = use.verifier.fits(token, row.verifier if row is not None else None)
    if row is None or not genuine:
        raise unknown_invitation()
    return row


async def join(
    invitation: InvitationRow,
    person: str,
    email: str,
    command_id: str,
    use: MemberDependencies,
    first: First = _nothing,
) -> Joined:
    """Make the person a member, with `first` in the same transaction.

    Raises `invitation.unknown` (also for an invitation that is for another e-mail address) or `member.exists`.
    """
    if invitation.email not in ("", email):
        raise unknown_invitation()
    now = use.clock()
    organisation = invitation.organisation
    order = Join(invitation=invitation.invitation, member=person, at=now)

    async def enter(connection: Connection, events: tuple[MemberEvent, ...]) -> None:
        await first(connection)
        await use.table.follow(connection, organisation, events, now)
        await use.links.end_invitation(connection, organisation, invitation.invitation, now)

    command = Acceptance(
        command_id=command_id, organisation=organisation, invitation=invitation.invitation, actor=person
    )
    outcome = await use.journal.record(command, STREAM, MEMBERSHIP, order, enter)
    await use.news.changed(organisation, person)
    [joined] = [event for event in outcome.events if isinstance(event, MemberJoined)]
    return Joined(organisation=organisation, role=joined.role)
