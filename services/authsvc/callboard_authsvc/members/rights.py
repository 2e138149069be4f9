"""What whoever gave a command may do at this moment, whatever an edge had cached when it let the request through."""

from __future__ import annotations

from callboard.contracts.access import EVERY_ORGANISATION, Principal
from callboard.contracts.problems import Problem
from callboard.kernel.permissions import Action, can, may_give
from callboard_authsvc.adapters.member_table import MemberTable
from callboard_authsvc.adapters.person_table import PersonTable
from callboard_authsvc.adapters.session_table import SessionTable
from callboard_authsvc.adapters.token_table import TokenTable
from callboard_authsvc.clock import Clock
from callboard_authsvc.people.principal import is_session_open, principal_of_person, principal_of_session
from callboard_authsvc.people.session_keys import external_person, session_key
from callboard_authsvc.tokens.domain import KEY_ID, is_live
from callboard_authsvc.tokens.principal import principal_of_token


class Rights:
    """Looks keys up; `by` is the `key_id` of a principal, and empty for the installation itself."""

    def __init__(
        self, tokens: TokenTable, sessions: SessionTable, persons: PersonTable, members: MemberTable, clock: Clock
    ) -> None:
        self._tokens = tokens
        self._sessions = sessions
        self._persons = persons
        self._members = members
        self._clock = clock

    async def of(self, by: str) -> Principal | None:
        """The principal as it is now, None for the installation; `auth.invalid` when the key is not good any more."""
        if not by:
            return None
        session, person = session_key(by), external_person(by)
        if session is not None:
            principal = await self._of_session(session)
        elif person is not None:
            principal = await self._of_person(by, person)
        else:
            principal = await self._of_token(by)
        if principal is None:
            raise Problem("auth.invalid", "the key is not good any more")
        return principal

    async def require(self, by: str, action: Action, organisation: str) -> Principal | None:
        """Raise `auth.forbidden` unless this one may do that to the whole organisation now."""
        principal = await self.of(by)
        if principal is not None and (principal.playbooks or not can(principal, action, organisation)):
            raise Problem("auth.forbidden", f"`{action}` on {organisation} is not allowed any more")
        return principal

    async def _of_token(self, key_id: str) -> Principal | None:
        row = await self._tokens.find(key_id) if KEY_ID.fullmatch(key_id) else None
        if row is None or not is_live(row.revoked_at, row.expires_at, self._clock()):
            return None
        return principal_of_token(row)

    async def _of_person(self, by: str, person: str) -> Principal | None:
        row = await self._persons.by_id(person)
        return None if row is None else principal_of_person(row, by, await self._members.grants_of(person))

    async def _of_session(self, key_id: str) -> Principal | None:
        row = await self._sessions.find(key_id)
        if row is None or not is_session_open(row, self._clock()):
            return None
        return principal_of_session(row, await self._members.grants_of(row.person.person))


def is_oneself(principal: Principal | None, member: str, organisation: str) -> bool:
    """Whether `member` of this organisation is the principal.

    Ids of persons are good everywhere, names of service accounts in one organisation: another one has a `ci` too.
    """
    if principal is None or not member or principal.member != member:
        return False
    return principal.organisation in ("", EVERY_ORGANISATION, organisation)


def require_to_give(principal: Principal | None, names: tuple[str, ...], organisation: str) -> None:
    """Raise `auth.forbidden` when these scopes, roles or permissions are more than the principal itself may do."""
    if principal is not None and not may_give(principal, names, organisation):
        raise Problem("auth.forbidden", "nobody can give more than they may do themselves")
