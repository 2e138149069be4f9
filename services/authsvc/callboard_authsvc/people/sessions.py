"""Open, look up and end sessions. `session -> principal` is `whose_session`, the one ask others build upon."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from callboard.contracts.people import AskSession, PersonLine, RenewSession, SessionOpened, SignedIn, SignOut
from callboard.contracts.playbooks import Done
from callboard.contracts.problems import Problem
from callboard.contracts.sign_in_events import Means, PersonSignedIn
from callboard.kernel.tokens import SESSION_PREFIX, compose, key_id_of
from callboard.platform.event_store import Connection
from callboard_authsvc.adapters.person_table import PersonRow
from callboard_authsvc.adapters.session_table import SessionRow
from callboard_authsvc.members.tell import RECENT
from callboard_authsvc.people.dependencies import PeopleDependencies
from callboard_authsvc.people.domain import SESSION_LIFE
from callboard_authsvc.people.noted import note_of
from callboard_authsvc.people.principal import is_session_open, principal_of_session
from callboard_authsvc.people.session_keys import principal_key

_RANDOM_BYTES: Final = 40
_TOUCH_AFTER: Final = timedelta(minutes=1)


async def whose_session(question: AskSession, use: PeopleDependencies) -> SignedIn:
    """The person of a session, and what that one may do now. Raises `auth.invalid`, with one message for all."""
    row = await open_session_of(question.session, use)
    now = use.clock()
    if now - row.seen_at > _TOUCH_AFTER:
        await use.sessions.touch(row.key_id, now)
    return await _signed_in(row, use)


async def open_session_of(session: str, use: PeopleDependencies) -> SessionRow:
    """The row of a session that is good; `auth.invalid` for any other."""
    key_id = key_id_of(session, SESSION_PREFIX)
    row = await use.sessions.find(key_id) if key_id is not None else None
    genuine = use.verifier.fits(session, row.verifier if row is not None else None)
    if row is None or not genuine or not is_session_open(row, use.clock()):
        raise Problem("auth.invalid", "the session is unknown, ended or expired")
    return row


async def open_session(person: PersonRow, use: PeopleDependencies, means: Means | None = None) -> SessionOpened:
    """A new session; its value is made here and never taken from a request. `means`: how the person signed in just now.

    A sign-in is in the log before there is a session of it: it may be there in vain, and is never missing.
    """
    now = use.clock()
    session = compose(use.chance(_RANDOM_BYTES), SESSION_PREFIX)
    key_id = key_id_of(session, SESSION_PREFIX)
    assert key_id is not None, "a composed value has its form"
    if means is not None:
        named = principal_key(key_id)
        signed_in = PersonSignedIn(person=person.person, session=named, means=means)
        await note_of(person, signed_in, f"{person.person}/{named}", use)
    verifier, expires_at = use.verifier.of(session), now + SESSION_LIFE
    await use.sessions.insert(key_id, verifier, person.person, now, expires_at)
    row = SessionRow(key_id=key_id, verifier=verifier, person=person, seen_at=now, expires_at=expires_at)
    return SessionOpened(session=session, signed_in=await _signed_in(row, use))


async def renew_session(command: RenewSession, use: PeopleDependencies) -> SessionOpened:
    """Another session in the place of this one. Raises `auth.invalid`."""
    row = await open_session_of(command.session, use)
    tell_ended(await use.sessions.end(row.key_id, use.clock()), use)
    return await open_session(row.person, use)


async def sign_out(command: SignOut, use: PeopleDependencies) -> Done:
    """End it, here and on every edge. One that is not good any more: nothing happens."""
    try:
        row = await open_session_of(command.session, use)
    except Problem:
        return Done(seq=0)
    if not command.everywhere:
        tell_ended(await use.sessions.end(row.key_id, use.clock()), use)
        return Done(seq=0)
    async with use.table.pool.acquire() as connection:
        tell_ended(await end_all(connection, row.person.person, use), use)
    return Done(seq=0)


async def end_former(session: str, use: PeopleDependencies) -> None:
    """End the session that a browser had before it signed in again, whoever's it was."""
    if session:
        await sign_out(SignOut(session=session), use)


async def end_all(connection: Connection, person: str, use: PeopleDependencies) -> list[str]:
    """End every session of a person in the caller's transaction; their ids, to be told after the commit."""
    return await use.sessions.end_all(connection, person, use.clock())


def tell_ended(key_ids: list[str], use: PeopleDependencies) -> None:
    """Tell the edges of sessions that ended."""
    for key_id in key_ids:
        use.push.announce(principal_key(key_id))


async def announce_recent_ends(use: PeopleDependencies) -> None:
    """Tell again of what ended lately: an instance may have ended between its commit and its push."""
    tell_ended(await use.sessions.ended_since(use.clock() - RECENT), use)


async def _signed_in(row: SessionRow, use: PeopleDependencies) -> SignedIn:
    person = row.person
    principal = principal_of_session(row, await use.members.table.grants_of(person.person))
    return SignedIn(
        principal=principal,
        person=PersonLine(person=person.person, email=person.email, name=person.name),
        csrf=use.csrf.of(row.key_id).hex(),
        expires_at=row.expires_at,
    )
