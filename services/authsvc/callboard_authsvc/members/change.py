"""Give a member another role, remove one, make a service account. Effective from the commit on, on every edge."""

from __future__ import annotations

from callboard.contracts.access import Principal
from callboard.contracts.people import ChangeRole, CreateServiceAccount, RemoveMember
from callboard.contracts.playbooks import Done
from callboard.platform.event_store import Connection
from callboard_authsvc.adapters.member_table import MemberRow
from callboard_authsvc.members.dependencies import MemberDependencies
from callboard_authsvc.members.domain import (
    MEMBERSHIP,
    STREAM,
    CreateAccount,
    GiveRole,
    MemberEvent,
    Order,
    Remove,
    check_account,
    check_rights,
    unknown_member,
)
from callboard_authsvc.members.rights import is_oneself, require_to_give

MemberCommand = ChangeRole | RemoveMember | CreateServiceAccount


async def change_role(command: ChangeRole, use: MemberDependencies) -> Done:
    """Raises `member.unknown`, `member.last_owner`, `auth.forbidden`, `argument.invalid` or `organisation.unknown`.

    Nobody gives more than they have, and nobody takes from who has more. What a member has already: seq 0.
    """
    check_rights(command.role, command.permissions)
    principal = await _allowed(command, use)
    member = await _existing(command.organisation, command.member, use)
    require_to_give(principal, (member.role, *member.permissions), command.organisation)
    require_to_give(principal, (command.role, *command.permissions), command.organisation)
    order = GiveRole(member=command.member, role=command.role, permissions=command.permissions)
    return await _recorded(command, command.member, order, use)


async def remove_member(command: RemoveMember, use: MemberDependencies) -> Done:
    """Raises as `change_role` does; anybody may leave, but for the last owner."""
    await use.organisations.require(command.organisation)
    principal = await use.rights.of(command.by)
    leaves = is_oneself(principal, command.member, command.organisation)
    if not leaves:
        principal = await use.rights.require(command.by, "member:manage", command.organisation)
    member = await _existing(command.organisation, command.member, use)
    if not leaves:
        require_to_give(principal, (member.role, *member.permissions), command.organisation)
    return await _recorded(command, command.member, Remove(member=command.member), use)


async def create_service_account(command: CreateServiceAccount, use: MemberDependencies) -> Done:
    """Raises `member.exists`, `auth.forbidden`, `argument.invalid` or `organisation.unknown`."""
    check_account(command.account)
    check_rights(command.role, command.permissions)
    principal = await _allowed(command, use)
    require_to_give(principal, (command.role, *command.permissions), command.organisation)
    order = CreateAccount(account=command.account, role=command.role, permissions=command.permissions)
    return await _recorded(command, command.account, order, use)


async def _allowed(command: MemberCommand, use: MemberDependencies) -> Principal | None:
    await use.organisations.require(command.organisation)
    return await use.rights.require(command.by, "member:manage", command.organisation)


async def _existing(organisation: str, member: str, use: MemberDependencies) -> MemberRow:
    found = await use.table.find(organisation, member)
    if found is None:
        raise unknown_member(member)
    return found


async def _recorded(command: MemberCommand, member: str, order: Order, use: MemberDependencies) -> Done:
    now = use.clock()

    async def follow(connection: Connection, events: tuple[MemberEvent, ...]) -> None:
        await use.table.follow(connection, command.organisation, events, now)

    outcome = await use.journal.record(command, STREAM, MEMBERSHIP, order, follow)
    # Also when nothing had to change: the caller may be here again because the first push was lost.
    await use.news.changed(command.organisation, member)
    return Done(seq=outcome.seq)
