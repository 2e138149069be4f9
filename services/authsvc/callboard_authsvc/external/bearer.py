"""A JWT of the identity provider as a bearer token of the management API; never at an MCP endpoint."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from callboard.contracts.access import Principal
from callboard.contracts.people import AskExternal
from callboard.contracts.problems import Problem
from callboard_authsvc.external.dependencies import ExternalDependencies
from callboard_authsvc.external.domain import bearer_of
from callboard_authsvc.people.principal import principal_of_person
from callboard_authsvc.people.session_keys import external_key


async def whose_token(question: AskExternal, use: ExternalDependencies) -> Principal:
    """The person, who signed in here before, in all its organisations. Raises `auth.invalid` or `login.unavailable`."""
    people, provider = use.people, use.provider
    if provider is None:
        raise _invalid()
    try:
        claims = await provider.claims(question.token)
    except Problem as problem:
        raise (_invalid() if problem.code == "login.refused" else problem) from None
    named = provider.provider
    now = people.clock().timestamp()
    subject, expires = bearer_of(claims, named.issuer, named.client_id, use.parties, now)
    known = await use.table.person_of(named.issuer, subject)
    person = await people.table.by_id(known) if known is not None else None
    if person is None:
        raise _invalid()
    principal = principal_of_person(
        person, external_key(person.person), await people.members.table.grants_of(person.person)
    )
    return msgspec.structs.replace(principal, expires_at=datetime.fromtimestamp(expires, UTC))


def _invalid() -> Problem:
    return Problem("auth.invalid", "the token is not one that is accepted here")
