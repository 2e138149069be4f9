"""Drift: what a server says otherwise than a version pinned, what became of it, and who decides about it.

A command is imperative and carries `command_id`: the same id gives the same answer, however often it is delivered.
`actor` is set by the edge from the verified token, never by the caller. Subjects: `callboard.contracts.subjects`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from callboard.contracts.playbooks import Change

DriftKind = Literal["tool", "prompt"]
DriftChange = Literal["arrived", "added", "changed", "removed", "settled"]
Verdict = Literal["held", "accepted"]


class Drift(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing of a playbook that its server says otherwise now. `name` is the playbook's, `item` the server's.

    `before` and `after` are digests, `old` and `new` the definitions (JSON texts). "arrived": the server had not
    answered when the version was published, so what comes first is taken, and stands in its catalogue. "settled": the
    server says again what is pinned, or the playbook does not show the thing any more. `conflicts`: why the
    playbook's override of the tool cannot simply be kept; held whatever the policy says.
    """

    kind: DriftKind
    name: str
    server: str
    item: str
    change: DriftChange
    verdict: Verdict
    before: str = ""
    after: str = ""
    old: str = ""
    new: str = ""
    conflicts: tuple[str, ...] = ()

    @property
    def brief(self) -> Drift:
        """Without the texts, which digests stand for."""
        return msgspec.structs.replace(self, old="", new="")


class DriftChoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One held thing as the decider saw it: by the playbook's name of it, and `Drift.after`."""

    name: str
    after: str
    kind: DriftKind = "tool"


class ApproveDrift(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.approve_drift", tag_field="type"):
    """Publish the next version, which pins these as they are now."""

    command_id: str
    organisation: str
    playbook: str
    things: tuple[DriftChoice, ...]
    comment: str
    actor: str = ""


class RejectDrift(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.reject_drift", tag_field="type"):
    """Leave these hidden, and say so."""

    command_id: str
    organisation: str
    playbook: str
    things: tuple[DriftChoice, ...]
    comment: str
    actor: str = ""


class DriftDecided(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.drift_decided", tag_field="type"):
    """Answer to both: the version that is current now, and what was decided about."""

    playbook: str
    version: int
    things: tuple[Drift, ...]
    seq: int


class AskDrift(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.drift?", tag_field="type"):
    """What is held back now, of one playbook or of all; of one playbook with who called it in the last days."""

    organisation: str
    playbook: str = ""


class HeldThing(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that agents do not see. `approver`: who alone may approve it; empty for everybody who may manage."""

    playbook: str
    version: int
    drift: Drift
    rejected: bool
    approver: str
    changes: tuple[Change, ...] = ()


class HeldThings(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.drift", tag_field="type"):
    """Answer to `AskDrift`."""

    held: tuple[HeldThing, ...]
    notes: tuple[str, ...] = ()
