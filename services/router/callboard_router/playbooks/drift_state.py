"""What the log says of the drift of one playbook: what stands, what was accepted, what was rejected. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from callboard.contracts.definitions import Exposed, PlaybookContent
from callboard.contracts.drift import Drift
from callboard.contracts.events import (
    CanaryPromoted,
    PlaybookDriftApproved,
    PlaybookDrifted,
    PlaybookDriftRejected,
    PlaybookPublished,
    PlaybookRolledBack,
    PlaybookVersionImported,
)
from callboard_router.catalogue.drift import Key

Rejection = tuple[str, str, str, str]
"""Kind, server, its name of the thing, and the digest that was refused."""
Event = (
    PlaybookDrifted
    | PlaybookDriftApproved
    | PlaybookDriftRejected
    | PlaybookPublished
    | PlaybookRolledBack
    | PlaybookVersionImported
    | CanaryPromoted
)


class DriftState(msgspec.Struct, frozen=True):
    """`open`: differences of which an event told and that still stand. `later`: what the current version shows though
    it does not pin it, by the names of the playbook."""

    open: Mapping[Key, Drift] = {}
    later: Mapping[Key, Exposed] = {}
    rejected: frozenset[Rejection] = frozenset()

    def is_rejected(self, drift: Drift) -> bool:
        """Whether somebody decided that this stays hidden."""
        return rejection_of(drift) in self.rejected

    def baseline(self, content: PlaybookContent) -> PlaybookContent:
        """The current version with what was accepted since it was published."""
        if not self.later:
            return content
        tools, prompts = dict(content.tools), dict(content.prompts)
        for (kind, name), item in self.later.items():
            (tools if kind == "tool" else prompts)[name] = item
        return msgspec.structs.replace(content, tools=tools, prompts=prompts)

    def untold(self, found: list[Drift]) -> tuple[Drift, ...]:
        """What no event has told of yet: of all differences that there are now, and of those that are none any more."""
        now = {(drift.kind, drift.name): drift for drift in found}
        news = [drift for key, drift in now.items() if self.open.get(key) != drift.brief]
        settled = [
            msgspec.structs.replace(drift, change="settled", verdict="accepted", before=drift.after, after=drift.before)
            for key, drift in self.open.items()
            if key not in now
        ]
        return (*news, *settled)


def rejection_of(drift: Drift) -> Rejection:
    """What a rejection is remembered by: it holds for this definition only."""
    return drift.kind, drift.server, drift.item, drift.after


def evolve(state: DriftState, event: Event) -> DriftState:
    """The state after the event."""
    match event:
        case PlaybookDrifted(drifts=drifts):
            return _told(state, drifts)
        case PlaybookDriftRejected(rejected=rejected):
            return msgspec.structs.replace(state, rejected=state.rejected | {rejection_of(drift) for drift in rejected})
        case PlaybookDriftApproved(approved=approved):
            gone = {(drift.kind, drift.name) for drift in approved}
            left = {key: drift for key, drift in state.open.items() if key not in gone}
            return msgspec.structs.replace(state, open=left, later={})
        case _:
            return msgspec.structs.replace(state, later={})


def _told(state: DriftState, drifts: tuple[Drift, ...]) -> DriftState:
    standing, later = dict(state.open), dict(state.later)
    for drift in drifts:
        key = (drift.kind, drift.name)
        standing.pop(key, None)
        if drift.verdict == "held" or drift.change == "removed":
            standing[key] = drift.brief
        elif drift.change != "settled":
            later[key] = Exposed(server=drift.server, name=drift.item, digest=drift.after)
    return msgspec.structs.replace(state, open=standing, later=later)
