"""Candidates by number: what is not published, as every router knows it."""

from __future__ import annotations

from typing import Final

from callboard.contracts import subjects
from callboard.contracts.access import Principal
from callboard.contracts.candidates import CandidateOffered, OfferCandidate
from callboard.contracts.definitions import PlaybookDefinition
from callboard.contracts.problems import Problem
from callboard.kernel.digest import digest_of_struct
from callboard.platform.bus import Bus
from callboard_edge.mcp.gate import Place

_SECONDS: Final = 5.0
_MOST: Final = 64


class Candidates:
    """Offers each candidate once; again when a router does not know it (any more)."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._numbers: dict[tuple[str, str, str], int] = {}

    async def place_of(
        self, principal: Principal, place: Place, definition: PlaybookDefinition, *, anew: bool = False
    ) -> Place:
        """The place at which the candidate is served; raises why it could not be published."""
        key = (place.organisation, place.playbook, digest_of_struct(definition))
        number = 0 if anew else self._numbers.get(key, 0)
        if not number:
            number = await self._offer(principal, place, definition)
            while len(self._numbers) >= _MOST:
                del self._numbers[next(iter(self._numbers))]
            self._numbers[key] = number
        return place._replace(version=number)

    async def _offer(self, principal: Principal, place: Place, definition: PlaybookDefinition) -> int:
        offer = OfferCandidate(
            organisation=place.organisation,
            playbook=place.playbook,
            definition=definition,
            actor=f"{principal.client}/{principal.key_id}",
        )
        answers = await self._bus.gather(
            subjects.CANDIDATE, offer, CandidateOffered, _SECONDS, lambda found: bool(found)
        )
        if not answers:
            raise Problem("bus.unavailable", "no router answers", subject=subjects.CANDIDATE)
        for answer in answers:
            if answer.problem is not None:
                raise Problem.from_body(answer.problem)
        return answers[0].version
