"""`cb.ask.router.*`: one handler per question, each a single call."""

from __future__ import annotations

from callboard.contracts import subjects
from callboard.contracts.candidates import CandidateOffered, OfferCandidate
from callboard.contracts.plans import AskUsage, Usage
from callboard.contracts.previews import AskExplanation, AskPreview, Explanation, Preview
from callboard.platform.bus import Bus, register
from callboard_router.playbooks.candidate import Candidates
from callboard_router.playbooks.preview import Previews
from callboard_router.quotas.usage import Usages


def register_queries(bus: Bus, previews: Previews, usages: Usages, candidates: Candidates) -> None:
    """Subscribe every question to the room."""

    async def preview(question: AskPreview) -> Preview:
        return await previews.preview(question)

    async def explain(question: AskExplanation) -> Explanation:
        return await previews.explain(question)

    async def candidate(question: OfferCandidate) -> CandidateOffered:
        return await candidates.offer(question)

    async def usage(question: AskUsage) -> Usage:
        return await usages.usage(question)

    register(bus, subjects.CANDIDATE, candidate, queue="", workers=2)  # no queue: every router has to know it
    register(bus, subjects.USAGE, usage)
    register(bus, subjects.PREVIEW, preview, workers=2)
    register(bus, subjects.EXPLAIN, explain, workers=2)
