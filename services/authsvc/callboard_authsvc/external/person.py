"""From an identity to a person: known, linked by an address that both sides verified, or new; and its role."""

from __future__ import annotations

from callboard.contracts.problems import Problem
from callboard.kernel.names import PERSON_PREFIX
from callboard.kernel.tokens import base62
from callboard_authsvc.adapters.person_table import PersonRow
from callboard_authsvc.external.dependencies import ExternalDependencies
from callboard_authsvc.external.domain import Identity, refused, role_of
from callboard_authsvc.members.provision import provision
from callboard_authsvc.people.domain import checked_email


async def person_behind(identity: Identity, use: ExternalDependencies) -> PersonRow:
    """Raises `login.refused` for an identity that brings neither a known subject nor an address that nobody has.

    Nobody gets into an account that exists by an address alone: whoever has a password here signs in with it.
    """
    people, issuer = use.people, _issuer(use)
    known = await use.table.person_of(issuer, identity.subject)
    person = await people.table.by_id(known) if known is not None else await _new_person(identity, use)
    if person is None:
        raise refused()
    if use.organisation:
        await provision(person.person, role_of(identity.groups, use.roles), use.organisation, people.members)
    return person


async def _new_person(identity: Identity, use: ExternalDependencies) -> PersonRow:
    people, issuer = use.people, _issuer(use)
    if not identity.email:
        raise Problem("login.refused", "the identity provider has no verified e-mail address of you")
    digest = people.verifier.of(f"external:{issuer}\x00{identity.subject}")
    person = PersonRow(
        person=PERSON_PREFIX + base62(digest, 16).lower(), email=checked_email(identity.email), name=identity.name[:100]
    )
    async with people.table.pool.acquire() as connection, connection.transaction():
        if not await people.table.insert(connection, person, people.clock()):
            raise Problem("login.refused", "somebody has this e-mail address here already; sign in with the password")
        await use.table.link(connection, issuer, identity.subject, person.person)
    return person


def _issuer(use: ExternalDependencies) -> str:
    assert use.provider is not None, "asked for before"
    return use.provider.provider.issuer
