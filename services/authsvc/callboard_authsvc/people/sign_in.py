"""Sign in with a password. What is said and how long it takes does not tell whether there is such an account.

A refusal is counted in memory, and looked up when it is written down: after the answer.
"""

from __future__ import annotations

from callboard.contracts.people import SessionOpened, SignIn
from callboard.contracts.problems import Problem
from callboard_authsvc.adapters.person_table import PersonRow
from callboard_authsvc.people.attempts import forgive, note_attempt
from callboard_authsvc.people.dependencies import PeopleDependencies
from callboard_authsvc.people.domain import MAX_PASSWORD, normal_email
from callboard_authsvc.people.sessions import end_former, open_session
from callboard_authsvc.refusals.domain import Shown


async def sign_in(command: SignIn, use: PeopleDependencies) -> SessionOpened:
    """Raises `login.refused`, or `login.too_many` with the seconds to wait. The `former` session ends."""
    email = normal_email(command.email)
    with use.refusals.of("login", Shown(email=email), command.address):
        person = await _person_behind(email, command, use)
    await end_former(command.former, use)
    return await open_session(person, use, "password")


async def _person_behind(email: str, command: SignIn, use: PeopleDependencies) -> PersonRow:
    await note_attempt(email, command.address, use)
    person = await use.table.by_email(email) if "\x00" not in email else None
    too_long = len(command.password) > MAX_PASSWORD
    stored = person.password if person is not None and not too_long else None
    if not await use.passwords.fits(command.password[:MAX_PASSWORD], stored) or person is None or stored is None:
        raise Problem("login.refused", "the e-mail address or the password is wrong")
    await forgive(email, use)
    if use.passwords.is_outdated(stored):
        hashed = await use.passwords.hash(command.password)
        async with use.table.pool.acquire() as connection:
            await use.table.set_password(connection, person.person, hashed)
    return person
