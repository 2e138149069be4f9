"""The members of one organisation and its open invitations. There is always an owner once there was one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, assert_never

import msgspec

from callboard.contracts.people_events import (
    InvitationWithdrawn,
    MemberInvited,
    MemberJoined,
    MemberProvisioned,
    MemberRemoved,
    MemberRoleGiven,
    ServiceAccountCreated,
)
from callboard.contracts.problems import Problem
from callboard.kernel.decider import Decider
from callboard.kernel.names import PERSON_PREFIX, is_slug
from callboard.kernel.permissions import PERMISSIONS, ROLES

STREAM = "members"
MAX_INVITED_SECONDS = 30 * 86_400
Kind = Literal["person", "service"]


class Invite(msgspec.Struct, frozen=True, kw_only=True):
    """Offer a membership."""

    invitation: str
    role: str
    permissions: tuple[str, ...] = ()
    expires_at: datetime


class Withdraw(msgspec.Struct, frozen=True, kw_only=True):
    """Take an offer back."""

    invitation: str


class Join(msgspec.Struct, frozen=True, kw_only=True):
    """Take an offer."""

    invitation: str
    member: str
    at: datetime


class CreateAccount(msgspec.Struct, frozen=True, kw_only=True):
    """A member that is no person."""

    account: str
    role: str
    permissions: tuple[str, ...] = ()


class Provision(msgspec.Struct, frozen=True, kw_only=True):
    """The role that follows from somebody's groups elsewhere; empty: none."""

    member: str
    role: str


class GiveRole(msgspec.Struct, frozen=True, kw_only=True):
    """Another role for a member."""

    member: str
    role: str
    permissions: tuple[str, ...] = ()


class Remove(msgspec.Struct, frozen=True, kw_only=True):
    """End a membership."""

    member: str


Order = Invite | Withdraw | Join | Provision | CreateAccount | GiveRole | Remove
MemberEvent = (
    MemberInvited
    | InvitationWithdrawn
    | MemberJoined
    | MemberProvisioned
    | ServiceAccountCreated
    | MemberRoleGiven
    | MemberRemoved
)


class Member(msgspec.Struct, frozen=True):
    """What one member may do. `provisioned`: because of groups elsewhere, which go on deciding."""

    kind: Kind
    role: str
    permissions: tuple[str, ...] = ()
    provisioned: bool = False

    @property
    def rights(self) -> tuple[str, ...]:
        """As names of the table of permissions."""
        return (self.role, *self.permissions)


class Membership(msgspec.Struct, frozen=True):
    """Member -> what it is; open invitation -> the offer."""

    members: dict[str, Member] = {}
    invitations: dict[str, MemberInvited] = {}

    def owners(self) -> list[str]:
        """Who may not all go."""
        return [name for name, member in self.members.items() if member.role == "owner"]


def check_rights(role: str, permissions: Sequence[str]) -> None:
    """Raise `argument.invalid`, naming the argument, for a role or permission that there is not."""
    if role not in ROLES:
        raise _invalid("role", f"choose one of {', '.join(ROLES)}")
    if len(set(permissions)) != len(permissions) or not set(permissions) <= set(PERMISSIONS):
        raise _invalid("permissions", f"choose some of {', '.join(PERMISSIONS)}, each once")


def check_account(account: str) -> None:
    """Raise `argument.invalid` for a name that a service account cannot have."""
    if not is_slug(account) or account.startswith(PERSON_PREFIX):
        raise _invalid("account", f"use 1 to 63 of a-z, 0-9, _ and -, and do not begin with {PERSON_PREFIX}")


def check_period(seconds: int) -> None:
    """Raise `argument.invalid` for an invitation that is open for too long, or not at all."""
    if not 0 < seconds <= MAX_INVITED_SECONDS:
        raise _invalid("expires_in_seconds", f"use a number from 1 to {MAX_INVITED_SECONDS}")


def _invalid(argument: str, message: str) -> Problem:
    return Problem("argument.invalid", f"{argument}: {message}", argument=argument)


def unknown_member(member: str) -> Problem:
    """Nobody of this organisation is called so."""
    return Problem("member.unknown", f"there is no member {member[:80]!r} in this organisation")


def unknown_invitation() -> Problem:
    """One answer for every link that is not good."""
    return Problem("invitation.unknown", "the invitation is unknown, was used or withdrawn, or has expired")


def decide(order: Order, state: Membership) -> Sequence[MemberEvent]:
    """What an order does to the membership."""
    match order:
        case Invite():
            check_rights(order.role, order.permissions)
            return (
                MemberInvited(
                    invitation=order.invitation,
                    role=order.role,
                    permissions=order.permissions,
                    expires_at=order.expires_at,
                ),
            )
        case Withdraw():
            if order.invitation not in state.invitations:
                raise unknown_invitation()
            return (InvitationWithdrawn(invitation=order.invitation),)
        case Join():
            return _join(order, state)
        case Provision():
            return _provision(order, state)
        case CreateAccount():
            return _create_account(order, state)
        case GiveRole():
            return _give_role(order, state)
        case Remove():
            if order.member not in state.members:
                raise unknown_member(order.member)
            _keep_an_owner(order.member, state)
            return (MemberRemoved(member=order.member),)
        case _:
            assert_never(order)


def _join(order: Join, state: Membership) -> Sequence[MemberEvent]:
    offer = state.invitations.get(order.invitation)
    if offer is None or order.at >= offer.expires_at:
        raise unknown_invitation()
    if order.member in state.members:
        raise Problem("member.exists", "the person belongs to this organisation already")
    return (
        MemberJoined(member=order.member, role=offer.role, permissions=offer.permissions, invitation=order.invitation),
    )


def _provision(order: Provision, state: Membership) -> Sequence[MemberEvent]:
    member = state.members.get(order.member)
    if member is None:
        return (MemberProvisioned(member=order.member, role=order.role),) if order.role else ()
    if not member.provisioned or member.role == order.role:
        return ()
    if order.role != "owner":
        _keep_an_owner(order.member, state)
    if not order.role:
        return (MemberRemoved(member=order.member),)
    return (MemberRoleGiven(member=order.member, role=order.role, permissions=member.permissions),)


def _create_account(order: CreateAccount, state: Membership) -> Sequence[MemberEvent]:
    check_account(order.account)
    check_rights(order.role, order.permissions)
    if order.account in state.members:
        raise Problem("member.exists", f"there is a member {order.account!r} already")
    return (ServiceAccountCreated(account=order.account, role=order.role, permissions=order.permissions),)


def _give_role(order: GiveRole, state: Membership) -> Sequence[MemberEvent]:
    check_rights(order.role, order.permissions)
    member = state.members.get(order.member)
    if member is None:
        raise unknown_member(order.member)
    if member.rights == (order.role, *order.permissions):
        return ()
    if order.role != "owner":
        _keep_an_owner(order.member, state)
    return (MemberRoleGiven(member=order.member, role=order.role, permissions=order.permissions),)


def _keep_an_owner(leaving: str, state: Membership) -> None:
    if state.owners() == [leaving]:
        raise Problem("member.last_owner", f"{leaving} is the only owner of this organisation")


def evolve(state: Membership, event: MemberEvent) -> Membership:
    """Who belongs to it, and which links are good."""
    members, invitations = dict(state.members), dict(state.invitations)
    match event:
        case MemberInvited():
            invitations[event.invitation] = event
        case InvitationWithdrawn():
            invitations.pop(event.invitation, None)
        case MemberJoined():
            invitations.pop(event.invitation, None)
            members[event.member] = Member("person", event.role, event.permissions)
        case MemberProvisioned():
            members[event.member] = Member("person", event.role, provisioned=True)
        case ServiceAccountCreated():
            members[event.account] = Member("service", event.role, event.permissions)
        case MemberRoleGiven():
            before = members.get(event.member, Member("person", event.role))
            members[event.member] = Member(before.kind, event.role, event.permissions, before.provisioned)
        case MemberRemoved():
            members.pop(event.member, None)
        case _:
            assert_never(event)
    return Membership(members, invitations)


MEMBERSHIP = Decider[Order, Membership, MemberEvent](Membership(), decide, evolve)
