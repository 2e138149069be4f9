"""Which organisations exist."""

from __future__ import annotations

from callboard.contracts.problems import Problem
from callboard.kernel.names import is_slug
from callboard_authsvc.journal import Journal
from callboard_authsvc.organisations.domain import stream_of


class KnownOrganisations:
    """Answers from the log, and remembers a yes: organisations do not end."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._known: set[str] = set()

    async def require(self, organisation: str) -> None:
        """Raise `Problem("organisation.unknown")` unless it exists."""
        if organisation in self._known:
            return
        # A name that is no slug never reaches the database: "*" is the administrator's row.
        if is_slug(organisation) and await self._journal.read(organisation, stream_of(organisation)):
            self._known.add(organisation)
            return
        raise Problem("organisation.unknown", f"there is no organisation {organisation[:80]!r}")
