"""The live principal behind a grant: rights are read now, and never from a token."""

from __future__ import annotations

from callboard.contracts.access import Principal
from callboard.contracts.problems import Problem
from callboard.contracts.signing import VerifyGrant
from callboard.kernel.access_tokens import levels_of
from callboard.kernel.names import PERSON_PREFIX
from callboard.kernel.permissions import can
from callboard_authsvc.oauth_server.dependencies import OAuthDependencies
from callboard_authsvc.oauth_server.domain import Grant, refused


async def verify_grant(question: VerifyGrant, use: OAuthDependencies) -> Principal:
    """Raises `auth.invalid`, with one message: unknown, revoked, somebody else's, or for another resource."""
    grant = await use.grants.find(question.grant)
    said = (question.client_id, question.subject, question.organisation, question.resource)
    if grant is None or said != (grant.client_id, grant.member, grant.organisation, grant.resource):
        raise _invalid()
    principal = await principal_of_grant(grant, use)
    if principal is None:
        raise _invalid()
    return principal


async def principal_of_grant(grant: Grant, use: OAuthDependencies) -> Principal | None:
    """Whom the grant stands for now; None when it ended, or its member may do nothing there any more."""
    if grant.revoked_at is not None or not grant.organisation:
        return None
    member = await use.members.find(grant.organisation, grant.member)
    rights = None if member is None else {grant.organisation: (member.role, *member.permissions)}
    if rights is None and not await _administers(grant.member, use):
        return None
    return Principal(
        key_id=grant.gid,
        client=grant.member,
        organisation=grant.organisation,
        scopes=levels_of(grant.scopes),
        playbooks=(grant.playbook,) if grant.playbook else (),
        member=grant.member,
        grants=rights,
        oauth_client=grant.client_id,
    )


async def require_live(grant: Grant, use: OAuthDependencies) -> None:
    """Raise `invalid_grant` when no token of the grant would open what it is for."""
    if not grant.organisation and grant.revoked_at is None:
        return
    principal = await principal_of_grant(grant, use)
    if principal is None or not can(principal, "use", grant.organisation, grant.playbook):
        raise refused("invalid_grant", "the grant ended, or its member may not use this any more")


async def _administers(member: str, use: OAuthDependencies) -> bool:
    person = await use.persons.by_id(member) if member.startswith(PERSON_PREFIX) else None
    return person is not None and person.administers


def _invalid() -> Problem:
    return Problem("auth.invalid", "the token is unknown, expired or revoked")
