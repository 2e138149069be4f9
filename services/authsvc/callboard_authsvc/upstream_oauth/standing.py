"""Who may follow a link, and so lend an account to the calls of a caller. Pure but for the port.

What all callers share is connected by whoever manages the organisation. A person's own calls are connected by that
person alone. The name of an API key or service account is nobody's account: it is connected by the person behind its
keys when that is one person, or by whoever manages the tokens of the organisation, who could issue such a key.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from callboard.contracts.access import Principal
from callboard.contracts.problems import Problem
from callboard.kernel.permissions import can
from callboard_authsvc.members.domain import PERSON_PREFIX
from callboard_authsvc.upstream_oauth.domain import Whose


class Standing(msgspec.Struct, frozen=True):
    """A person as of now. `behind`: the members behind keys of the caller that are good, `""` for keys of nobody."""

    principal: Principal
    behind: frozenset[str] = frozenset()


class Standings(Protocol):
    """Who persons are."""

    async def of(self, whose: Whose, person: str) -> Standing | None:
        """None for somebody who is no person (any more)."""


def may_follow(whose: Whose, standing: Standing) -> bool:
    """Whether this person may sign in for this caller."""
    principal, organisation = standing.principal, whose.organisation
    if not whose.subject:
        return can(principal, "manage", organisation)
    if whose.subject.startswith(PERSON_PREFIX):
        return whose.subject == principal.member and can(principal, "use", organisation)
    if can(principal, "token:manage", organisation):
        return True
    return standing.behind == {principal.member} and can(principal, "use", organisation)


async def require_standing(whose: Whose, person: str, standings: Standings) -> None:
    """Raise `auth.forbidden` unless this person may follow the link."""
    standing = await standings.of(whose, person) if person else None
    if standing is None or not may_follow(whose, standing):
        raise Problem("auth.forbidden", "this link is for somebody else")
