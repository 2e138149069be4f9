"""The members of an organisation, and the invitations that are open."""

from __future__ import annotations

from typing import cast

from callboard.contracts.people import AskMembers, InvitationLine, MemberLine, Members
from callboard.kernel.permissions import ROLES
from callboard_authsvc.members.dependencies import MemberDependencies
from callboard_authsvc.members.domain import MEMBERSHIP, STREAM, MemberEvent

_RANK = {role: number for number, role in enumerate(ROLES)}


async def list_members(question: AskMembers, use: MemberDependencies) -> Members:
    """The highest role first. Raises `organisation.unknown`."""
    organisation, now = question.organisation, use.clock()
    await use.organisations.require(organisation)
    rows = await use.table.of_organisation(organisation)
    past = await use.journal.read(organisation, STREAM)
    offers = MEMBERSHIP.fold(cast("MemberEvent", recorded.event) for recorded in past).invitations.values()
    emails = await use.links.emails_of_open(organisation, now)
    return Members(
        members=tuple(
            MemberLine(
                member=row.member,
                kind=row.kind,
                role=row.role,
                permissions=row.permissions,
                since=row.since,
                email=row.email,
                name=row.name,
            )
            for row in sorted(rows, key=lambda row: -_RANK[row.role])
        ),
        invitations=tuple(
            InvitationLine(
                invitation=offer.invitation,
                role=offer.role,
                permissions=offer.permissions,
                expires_at=offer.expires_at,
                email=emails.get(offer.invitation, ""),
            )
            for offer in offers
            if offer.expires_at > now
        ),
    )
