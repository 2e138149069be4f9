"""Who may follow a link, and so lend an account to the calls of a caller. Pure but for the port.

What all callers share is connected by whoever manages the organisation. A person's own calls are connected by that
person alone. The name of an API key or service account is nobody's own: whoever manages the tokens of the organisation
connects it, who could issue such a key and call with it.
"""

from __future__ import annotations

from typing import Protocol

from callboard.contracts.access import Principal
from callboard.contracts.problems import Problem
from callboard.kernel.names import PERSON_PREFIX
from callboard.kernel.permissions import can
from callboard_authsvc.upstream_oauth.domain import Whose


class Standings(Protocol):
    """Who persons are."""

    async def of(self, person: str) -> Principal | None:
        """The person as of now; None for somebody who is none (any more)."""


def may_follow(whose: Whose, person: Principal) -> bool:
    """Whether this person may sign in for this caller."""
    if not whose.subject:
        return can(person, "manage", whose.organisation)
    if whose.subject.startswith(PERSON_PREFIX):
        return whose.subject == person.member and can(person, "use", whose.organisation)
    return can(person, "token:manage", whose.organisation)


async def require_standing(whose: Whose, person: str, standings: Standings) -> None:
    """Raise `auth.forbidden` unless this person may follow the link."""
    principal = await standings.of(person) if person else None
    if principal is None or not may_follow(whose, principal):
        raise Problem("auth.forbidden", "this link is for somebody else")
