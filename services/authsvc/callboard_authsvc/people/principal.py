"""Whom a session stands for, given its row."""

from __future__ import annotations

from datetime import datetime

from callboard.contracts.access import EVERY_ORGANISATION, Principal
from callboard_authsvc.adapters.person_table import PersonRow
from callboard_authsvc.adapters.session_table import SessionRow
from callboard_authsvc.people.domain import is_open
from callboard_authsvc.people.session_keys import principal_key


def is_session_open(session: SessionRow, now: datetime) -> bool:
    """Whether the session is good at `now`."""
    return is_open(session.ended_at, session.expires_at, session.seen_at, session.person.administers, now)


def principal_of_session(session: SessionRow, grants: dict[str, tuple[str, ...]]) -> Principal:
    """The person, in all its organisations (`grants`); an administrator may enter every one."""
    return principal_of_person(session.person, principal_key(session.key_id), grants)


def principal_of_person(person: PersonRow, key_id: str, grants: dict[str, tuple[str, ...]]) -> Principal:
    """The same, by whatever the person showed who it is."""
    if person.administers:
        return Principal(
            key_id=key_id,
            client=person.person,
            organisation=EVERY_ORGANISATION,
            scopes=("administer",),
            member=person.person,
        )
    return Principal(
        key_id=key_id,
        client=person.person,
        organisation="",
        scopes=("own",),
        member=person.person,
        grants=grants,
    )
