"""What a playbook would be if it were published now: compiled by every router, served to nobody but who asks for it.

A candidate is named by a negative number that follows from its content, where versions have positive ones: calls on it
go the way of every call, with that number as their version.
"""

from __future__ import annotations

import msgspec

from callboard.contracts.definitions import PlaybookDefinition
from callboard.contracts.problems import ProblemBody


class OfferCandidate(msgspec.Struct, frozen=True, kw_only=True, tag="candidate.offer", tag_field="type"):
    """Broadcast on `cb.ask.router.candidate`: every router compiles this, and answers."""

    organisation: str
    playbook: str
    definition: PlaybookDefinition
    actor: str


class CandidateOffered(msgspec.Struct, frozen=True, kw_only=True, tag="candidate", tag_field="type"):
    """Answer to `OfferCandidate`. `version`: what to call it by; that of the current one when it would be no other.

    `problem`: why it could not be published; then `version` is 0.
    """

    version: int = 0
    problem: ProblemBody | None = None
