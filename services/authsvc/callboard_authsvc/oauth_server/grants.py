"""Grants for whoever gave them, and for whoever manages the tokens of the organisation: listed, and ended."""

from __future__ import annotations

from msgspec.structs import replace

from callboard.contracts.access_events import GrantEnd
from callboard.contracts.oauth_server import AskGrants, GrantLine, Grants, RevokeGrant
from callboard.contracts.playbooks import Done
from callboard.kernel.names import PERSON_PREFIX
from callboard_authsvc.members.rights import is_oneself
from callboard_authsvc.oauth_server.dependencies import OAuthDependencies
from callboard_authsvc.oauth_server.domain import LISTED, REFRESH_LIFE, Grant, unknown_grant
from callboard_authsvc.oauth_server.end import end_grant


async def list_grants(question: AskGrants, use: OAuthDependencies) -> Grants:
    """The newest first, without those that nobody can use any more. Raises `organisation.unknown`."""
    if question.organisation:
        await use.organisations.require(question.organisation)
    elif not question.member.startswith(PERSON_PREFIX):
        return Grants(grants=())  # the same name is another service account's elsewhere
    now = use.clock()
    found = await use.grants.listed(question.organisation, question.member, now - LISTED, now - REFRESH_LIFE)
    return Grants(grants=tuple(_line(grant) for grant in found))


async def revoke_grant(command: RevokeGrant, use: OAuthDependencies) -> Done:
    """Raises `grant.unknown`, `auth.forbidden`. One that ended already: seq 0."""
    principal = await use.rights.of(command.by)
    grant = await use.grants.find(command.grant)
    if grant is None:
        raise unknown_grant()
    own = is_oneself(principal, grant.member, grant.organisation) and principal is not None and not principal.playbooks
    if command.organisation != grant.organisation and not (own and not command.organisation):
        raise unknown_grant()
    if not own:
        await use.rights.require(command.by, "token:manage", grant.organisation)
    reason: GrantEnd = "person" if own else "administrator"
    there = replace(command, organisation=grant.organisation)
    return Done(seq=await end_grant(grant, reason, command.actor, use, command=there))


def _line(grant: Grant) -> GrantLine:
    return GrantLine(
        grant=grant.gid,
        organisation=grant.organisation,
        member=grant.member,
        client_id=grant.client_id,
        client_name=grant.client_name,
        playbook=grant.playbook,
        resource=grant.resource,
        scopes=grant.scopes,
        means=grant.means,
        created_at=grant.created_at,
        used_at=grant.used_at,
        revoked_at=grant.revoked_at,
        reason=grant.reason,
    )
