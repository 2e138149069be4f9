"""`cb.ask.router.candidate`: compile what is not published, so that calls can be tried on it."""

from __future__ import annotations

from callboard.contracts.candidates import CandidateOffered, OfferCandidate
from callboard.contracts.definitions import PlaybookContent
from callboard.contracts.events import PlaybookDriftApproved, PlaybookPublished
from callboard.contracts.playbooks import ApplyOrganisation
from callboard.contracts.problems import Problem, ProblemBody
from callboard.kernel.digest import digest_of_struct
from callboard.platform.log_follower import LogFollower
from callboard_router.catalogue.served import Served
from callboard_router.playbooks.plan import plan, refuse_faults
from callboard_router.state import RouterState


class Candidates:
    """Takes offers. What a candidate shows is decided by the code that publishes, against the servers of now."""

    def __init__(self, follower: LogFollower, state: RouterState, served: Served) -> None:
        self._follower = follower
        self._state = state
        self._served = served

    async def offer(self, offered: OfferCandidate) -> CandidateOffered:
        """Every router answers for itself, so a refusal is part of the answer."""
        try:
            await self._follower.catch_up(offered.organisation)
            return CandidateOffered(version=self._compiled(offered))
        except Problem as problem:
            body = ProblemBody(code=problem.code, message=problem.message, data=problem.data)
            return CandidateOffered(problem=body)

    def _compiled(self, offered: OfferCandidate) -> int:
        organisation = self._state.organisation(offered.organisation)
        command = ApplyOrganisation(
            command_id="",
            organisation=offered.organisation,
            servers={},
            playbooks={offered.playbook: offered.definition},
            comment="candidate",
            actor=offered.actor,
            dry_run=True,
        )
        refuse_faults(command, organisation)
        events = plan(command, organisation, {}).writes.get(f"playbook-{offered.playbook}", ())
        published = [event for event in events if isinstance(event, PlaybookPublished | PlaybookDriftApproved)]
        if not published:
            return organisation.playbook(offered.playbook).current
        number = candidate_number(published[0].content)
        self._served.try_out(offered.organisation, offered.playbook, number, published[0].content)
        return number


def candidate_number(content: PlaybookContent) -> int:
    """A negative number of 31 bits: routers that know the same agree on it without a word."""
    digest = digest_of_struct(content).removeprefix("sha256:")
    return -1 - (int(digest[:8], 16) & 0x7FFF_FFFE)
