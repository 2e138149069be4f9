"""Members of an organisation, service accounts, invitations."""

from __future__ import annotations

from litestar import delete, get, post, put

from callboard.contracts import subjects
from callboard.contracts.people import (
    AskMembers,
    ChangeRole,
    CreateServiceAccount,
    Invitation,
    InviteMember,
    Members,
    RemoveMember,
    WithdrawInvitation,
)
from callboard.contracts.people_management import GivenRole, NewInvitation, NewServiceAccount
from callboard.contracts.playbooks import Done
from callboard.platform.bus import Bus
from callboard_edge.api.caller import Caller, Stamp

_OF = "/organisations/{organisation:str}"
_MEMBER = _OF + "/members/{member:str}"


@get(_OF + "/members", summary="List members and open invitations")
async def list_members(bus: Bus, caller: Caller, organisation: str) -> Members:
    """The highest role first."""
    caller.require("member:read", organisation)
    return await bus.ask(subjects.MEMBERS, AskMembers(organisation=organisation), Members)


@put(_MEMBER, summary="Give a member another role")
async def change_role(bus: Bus, caller: Caller, stamp: Stamp, organisation: str, member: str, data: GivenRole) -> Done:
    """Effective at once, for everything that depends on the membership."""
    caller.require("member:manage", organisation)
    command = ChangeRole(
        command_id=stamp.command_id(data.command_id),
        organisation=organisation,
        member=member,
        role=data.role,
        permissions=data.permissions,
        comment=data.comment,
        actor=caller.actor,
        by=caller.by,
    )
    return await bus.ask(subjects.CHANGE_ROLE, command, Done)


@delete(_MEMBER, summary="Remove a member", status_code=200)
async def remove_member(
    bus: Bus, caller: Caller, stamp: Stamp, organisation: str, member: str, comment: str = ""
) -> Done:
    """Its tokens are refused from now on. Anybody may leave, but for the last owner."""
    caller.require("use" if member == caller.principal.member else "member:manage", organisation)
    command = RemoveMember(
        command_id=stamp.command_id(),
        organisation=organisation,
        member=member,
        comment=comment,
        actor=caller.actor,
        by=caller.by,
    )
    return await bus.ask(subjects.REMOVE_MEMBER, command, Done)


@post(_OF + "/service-accounts", summary="Create a service account", status_code=200)
async def create_service_account(
    bus: Bus, caller: Caller, stamp: Stamp, organisation: str, data: NewServiceAccount
) -> Done:
    """A member that is no person; tokens issued under its name may do what its role allows."""
    caller.require("member:manage", organisation)
    command = CreateServiceAccount(
        command_id=stamp.command_id(data.command_id),
        organisation=organisation,
        account=data.account,
        role=data.role,
        permissions=data.permissions,
        actor=caller.actor,
        by=caller.by,
    )
    return await bus.ask(subjects.CREATE_SERVICE_ACCOUNT, command, Done)


@post(_OF + "/invitations", summary="Invite by a link", response_headers={"Cache-Control": "no-store"})
async def invite_member(bus: Bus, caller: Caller, stamp: Stamp, organisation: str, data: NewInvitation) -> Invitation:
    """The only time the token of the link is shown."""
    caller.require("member:manage", organisation)
    command = InviteMember(
        command_id=stamp.command_id(data.command_id),
        organisation=organisation,
        role=data.role,
        permissions=data.permissions,
        email=data.email,
        expires_in_seconds=data.expires_in_seconds,
        actor=caller.actor,
        by=caller.by,
    )
    return await bus.ask(subjects.INVITE_MEMBER, command, Invitation)


@delete(_OF + "/invitations/{invitation:str}", summary="Withdraw an invitation", status_code=200)
async def withdraw_invitation(bus: Bus, caller: Caller, stamp: Stamp, organisation: str, invitation: str) -> Done:
    """The link is refused from now on."""
    caller.require("member:manage", organisation)
    command = WithdrawInvitation(
        command_id=stamp.command_id(),
        organisation=organisation,
        invitation=invitation,
        actor=caller.actor,
        by=caller.by,
    )
    return await bus.ask(subjects.WITHDRAW_INVITATION, command, Done)


ROUTES = [list_members, change_role, remove_member, create_service_account, invite_member, withdraw_invitation]
