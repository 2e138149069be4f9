"""Set another password: with the current one, or by a link that works once.

Every session of the person ends, and what clients were granted: whoever had the old password may have agreed.
"""

from __future__ import annotations

from callboard.contracts.people import ChangePassword, OfferReset, ResetOffered, ResetPassword, SessionOpened
from callboard.contracts.playbooks import Done
from callboard.contracts.problems import Problem
from callboard.contracts.sign_in_events import PersonPasswordSet, PersonResetLinkMade
from callboard.kernel.tokens import RESET_PREFIX, compose, key_id_of
from callboard_authsvc.adapters.link_table import ResetRow
from callboard_authsvc.adapters.person_table import PersonRow
from callboard_authsvc.oauth_server.end import tell_of_grants
from callboard_authsvc.people.attempts import forgive, note_attempt
from callboard_authsvc.people.dependencies import PeopleDependencies
from callboard_authsvc.people.domain import MAX_PASSWORD, RESET_LIFE, check_password, checked_email
from callboard_authsvc.people.noted import note_of
from callboard_authsvc.people.session_keys import principal_key
from callboard_authsvc.people.sessions import end_all, open_session, open_session_of, tell_ended
from callboard_authsvc.refusals.domain import Shown

_RANDOM_BYTES = 40


async def change_password(command: ChangePassword, use: PeopleDependencies) -> SessionOpened:
    """Raises `auth.invalid`, `login.refused` for a wrong current password, `login.too_many`, `argument.invalid`."""
    session = await open_session_of(command.session, use)
    person = await use.table.by_id(session.person.person)
    if person is None:
        raise Problem("auth.invalid", "the session is unknown, ended or expired")
    check_password(command.password, person.email)
    with use.refusals.of("login", Shown(email=person.email), command.address):
        await note_attempt(person.email, command.address, use)
        if not await use.passwords.fits(command.current[: MAX_PASSWORD + 1], person.password):
            raise Problem("login.refused", "the current password is wrong")
    await forgive(person.email, use)
    hashed = await use.passwords.hash(command.password)
    actor = f"{person.person}/{principal_key(session.key_id)}"
    await note_of(person, PersonPasswordSet(person=person.person, by="password"), actor, use)
    async with use.table.pool.acquire() as connection, connection.transaction():
        await use.table.set_password(connection, person.person, hashed)
        ended = await end_all(connection, person.person, use)
        grants = await use.grants.revoke_of_person(connection, person.person, use.clock())
    tell_ended(ended, use)
    await tell_of_grants(grants, use)
    return await open_session(person, use)


async def offer_reset(command: OfferReset, use: PeopleDependencies) -> ResetOffered:
    """A link for the person with this address, given out by an administrator. Raises `member.unknown`."""
    person = await use.table.by_email(checked_email(command.email))
    if person is None:
        raise Problem("member.unknown", "nobody has this e-mail address")
    token = compose(use.chance(_RANDOM_BYTES), RESET_PREFIX)
    key_id = key_id_of(token, RESET_PREFIX)
    assert key_id is not None, "a composed token has its form"
    expires_at = use.clock() + RESET_LIFE
    row = ResetRow(key_id=key_id, verifier=use.verifier.of(token), person=person.person, expires_at=expires_at)
    event = PersonResetLinkMade(person=person.person, expires_at=expires_at)
    await note_of(person, event, command.actor, use)
    await use.links.insert_reset(row)
    return ResetOffered(person=person.person, token=token, expires_at=expires_at)


async def reset_password(command: ResetPassword, use: PeopleDependencies) -> Done:
    """Raises `reset.unknown` for every link that is not good, `argument.invalid`, or `login.too_many`."""
    with use.refusals.of("login", Shown(), command.address):
        await note_attempt("", command.address, use)
        row, person = await _behind(command.token, use)
    check_password(command.password, person.email)
    hashed = await use.passwords.hash(command.password)
    now = use.clock()
    # The link is spent first, by one of those who use it at once: only that one tells, and before it sets.
    async with use.table.pool.acquire() as connection, connection.transaction():
        if not await use.links.use_reset(connection, row.key_id, now):
            raise _unknown()
    await note_of(person, PersonPasswordSet(person=person.person, by="link"), person.person, use)
    async with use.table.pool.acquire() as connection, connection.transaction():
        await use.table.set_password(connection, person.person, hashed)
        ended = await end_all(connection, person.person, use)
        grants = await use.grants.revoke_of_person(connection, person.person, now)
    tell_ended(ended, use)
    await tell_of_grants(grants, use)
    await forgive(person.email, use)
    return Done(seq=0)


async def _behind(token: str, use: PeopleDependencies) -> tuple[ResetRow, PersonRow]:
    """The link and its person; `reset.unknown` for every link that is not good."""
    key_id = key_id_of(token, RESET_PREFIX)
    row = await use.links.find_reset(key_id) if key_id is not None else None
    genuine = use.verifier.fits(token, row.verifier if row is not None else None)
    person = await use.table.by_id(row.person) if row is not None else None
    if row is None or not genuine or person is None or row.used_at is not None or use.clock() >= row.expires_at:
        raise _unknown()
    return row, person


def _unknown() -> Problem:
    return Problem("reset.unknown", "the link is unknown, was used, or has expired")
