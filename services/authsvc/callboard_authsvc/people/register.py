"""Become a person: by an invitation, or as the administrator that the settings name."""

from __future__ import annotations

from callboard.contracts.people import AcceptInvitation, Joined, Register, SessionOpened
from callboard.contracts.problems import Problem
from callboard.kernel.names import PERSON_PREFIX
from callboard.kernel.tokens import base62
from callboard.platform.event_store import Connection
from callboard.platform.postgres import persist
from callboard_authsvc.adapters.link_table import InvitationRow
from callboard_authsvc.adapters.person_table import PersonRow
from callboard_authsvc.members.domain import unknown_invitation
from callboard_authsvc.members.join import invitation_behind, join
from callboard_authsvc.people.attempts import note_attempt
from callboard_authsvc.people.dependencies import PeopleDependencies
from callboard_authsvc.people.domain import check_name, check_password, checked_email
from callboard_authsvc.people.sessions import open_session, open_session_of


async def register_person(command: Register, use: PeopleDependencies) -> SessionOpened:
    """A new person, who joins and is signed in.

    Raises `invitation.unknown`, `person.exists`, `argument.invalid` or `login.too_many`.
    """
    email = checked_email(command.email)
    check_name(command.name)
    check_password(command.password, email)
    await note_attempt("", command.address, use)
    invitation = await invitation_behind(command.token, use.members)
    if invitation.ended_at is not None or use.clock() >= invitation.expires_at:
        # Before a hash is computed. Whoever asks twice has a session from the first time, or signs in.
        raise unknown_invitation()
    person = PersonRow(
        person=_person_id(invitation, use),
        email=email,
        name=command.name,
        password=await use.passwords.hash(command.password),
    )

    async def insert(connection: Connection) -> None:
        if not await use.table.insert(connection, person, use.clock()):
            raise Problem("person.exists", "somebody has this e-mail address here already")

    await join(invitation, person.person, email, command.command_id, use.members, insert)
    return await open_session(person, use, "invitation")


async def accept_invitation(command: AcceptInvitation, use: PeopleDependencies) -> Joined:
    """The person of the session joins. Raises `auth.invalid`, `invitation.unknown` or `member.exists`."""
    session = await open_session_of(command.session, use)
    invitation = await invitation_behind(command.token, use.members)
    person = session.person
    return await join(invitation, person.person, person.email, command.command_id, use.members)


async def ensure_first_administrator(email: str, password: str, use: PeopleDependencies) -> None:
    """Make the person who administers the installation, unless somebody has the address already.

    Idempotent, so every instance does it at its start; a password that was changed stays changed.
    """
    if not email:
        return
    address = checked_email(email)
    if await use.table.by_email(address) is not None:
        return
    check_password(password, address)
    person = PersonRow(
        person=_id_of(use.verifier.of(f"administrator:{address}")),
        email=address,
        name="Administrator",
        password=await use.passwords.hash(password),
        administers=True,
    )

    async def insert() -> bool:
        async with use.table.pool.acquire() as connection:
            return await use.table.insert(connection, person, use.clock())

    await persist(insert)


def _person_id(invitation: InvitationRow, use: PeopleDependencies) -> str:
    # From the invitation, which makes one person at most: the same command makes the same person.
    return _id_of(use.verifier.of(f"person:{invitation.invitation}"))


def _id_of(digest: bytes) -> str:
    return PERSON_PREFIX + base62(digest, 16).lower()
