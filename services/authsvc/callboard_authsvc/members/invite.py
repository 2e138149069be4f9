"""Invite somebody by a link: the event and the verifier's row in one transaction, the link in the answer only."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from callboard.contracts.people import Invitation, InviteMember, WithdrawInvitation
from callboard.contracts.people_events import MemberInvited
from callboard.contracts.playbooks import Done
from callboard.contracts.problems import Problem
from callboard.kernel.tokens import INVITATION_PREFIX, compose, key_id_of
from callboard.platform.event_store import Connection
from callboard_authsvc.adapters.link_table import InvitationRow
from callboard_authsvc.members.dependencies import MemberDependencies
from callboard_authsvc.members.domain import (
    MEMBERSHIP,
    STREAM,
    Invite,
    MemberEvent,
    Withdraw,
    check_period,
    check_rights,
)
from callboard_authsvc.members.rights import require_to_give
from callboard_authsvc.people.domain import checked_email

_RANDOM_BYTES = 40


async def invite_member(command: InviteMember, use: MemberDependencies) -> Invitation:
    """Raises `organisation.unknown`, `argument.invalid`, `auth.forbidden`, or `command.reused` for a second delivery.

    Nobody can invite to more than they may do themselves, so that only owners make owners.
    """
    await use.organisations.require(command.organisation)
    check_rights(command.role, command.permissions)
    check_period(command.expires_in_seconds)
    email = checked_email(command.email) if command.email else ""
    principal = await use.rights.require(command.by, "member:manage", command.organisation)
    require_to_give(principal, (command.role, *command.permissions), command.organisation)
    token = compose(use.chance(_RANDOM_BYTES), INVITATION_PREFIX)
    invitation = key_id_of(token, INVITATION_PREFIX)
    assert invitation is not None, "a composed token has its form"
    order = Invite(
        invitation=invitation,
        role=command.role,
        permissions=command.permissions,
        expires_at=use.clock() + timedelta(seconds=command.expires_in_seconds),
    )
    row = InvitationRow(
        invitation=invitation,
        organisation=command.organisation,
        verifier=use.verifier.of(token),
        expires_at=order.expires_at,
        email=email,
    )

    async def insert(connection: Connection, events: tuple[MemberEvent, ...]) -> None:
        await use.links.insert_invitation(connection, row)

    # The log keeps a SHA-256 of each command, and an address could be guessed by it.
    recorded = msgspec.structs.replace(command, email=use.verifier.of(email).hex() if email else "")
    outcome = await use.journal.record(recorded, STREAM, MEMBERSHIP, order, insert)
    if outcome.replayed:
        made = [event.invitation for event in outcome.events if isinstance(event, MemberInvited)]
        raise Problem(
            "command.reused",
            f"this command already made invitation {made[0]}, and a link is shown only once; "
            "withdraw that one and invite again with a new command id",
            invitation=made[0],
        )
    return Invitation(invitation=invitation, token=token, role=command.role, expires_at=order.expires_at)


async def withdraw_invitation(command: WithdrawInvitation, use: MemberDependencies) -> Done:
    """Raises `organisation.unknown`, `auth.forbidden` or `invitation.unknown`."""
    await use.organisations.require(command.organisation)
    await use.rights.require(command.by, "member:manage", command.organisation)

    async def end(connection: Connection, events: tuple[MemberEvent, ...]) -> None:
        await use.links.end_invitation(connection, command.organisation, command.invitation, use.clock())

    order = Withdraw(invitation=command.invitation)
    outcome = await use.journal.record(command, STREAM, MEMBERSHIP, order, end)
    return Done(seq=outcome.seq)
