"""Projection `playbooks`: every playbook as it is now, and every version it ever had, whole."""

from __future__ import annotations

import msgspec

from callboard.contracts.events import (
    CanaryPromoted,
    PlaybookDriftApproved,
    PlaybookPublished,
    PlaybookRetired,
    PlaybookRolledBack,
    PlaybookVersionImported,
    Recorded,
)
from callboard_projections.history.projection import Effect, Projection, storable

_json = msgspec.json.Encoder().encode
_VERSION = (
    "organisation",
    "playbook",
    "version",
    "reason",
    "actor",
    "comment",
    "recorded_at",
    "content_digest",
    "tools",
    "rolled_back_to",
    "seq",
    "content",
)


def _effects(recorded: Recorded) -> list[Effect]:
    match recorded.event:
        case PlaybookPublished() as event:
            return _new_version(recorded, event, "published", None)
        case PlaybookRolledBack() as event:
            return _new_version(recorded, event, "rolled_back", event.to_version)
        case PlaybookDriftApproved() as event:
            return _new_version(recorded, event, "drift_approved", None)
        case CanaryPromoted() as event:
            return _new_version(recorded, event, "promoted", event.tried)
        case PlaybookVersionImported() as event:
            return _new_version(recorded, event, event.reason, event.rolled_back_to)
        case PlaybookRetired() as event:
            retired = (recorded.organisation, event.playbook, recorded.recorded_at, storable(recorded.meta.actor))
            return [Effect("playbook_retired", retired, ("playbook", event.playbook))]
        case _:
            return []


def _new_version(
    recorded: Recorded,
    event: PlaybookPublished | PlaybookRolledBack | PlaybookVersionImported | PlaybookDriftApproved | CanaryPromoted,
    reason: str,
    to_version: int | None,
) -> list[Effect]:
    definition = event.content.definition
    actor, comment, at = recorded.meta.actor, recorded.meta.comment, recorded.recorded_at
    if isinstance(event, PlaybookVersionImported):
        actor, comment, at = event.actor, event.comment, event.made_at
    version = (
        recorded.organisation,
        event.playbook,
        event.version,
        storable(reason),
        storable(actor),
        storable(comment),
        at,
        event.content_digest,
        len(event.content.tools),
        to_version,
        recorded.seq,
        _json(event.content).decode(),
    )
    current = (
        recorded.organisation,
        event.playbook,
        storable(definition.title),
        event.version,
        definition.access,
        [storable(server) for server in definition.servers],
        len(event.content.tools),
        recorded.recorded_at,
        storable(recorded.meta.actor),
    )
    return [
        Effect("playbook_version", version, ("version", event.playbook, str(event.version))),
        Effect("playbook_current", current, ("playbook", event.playbook), "none"),
    ]


PLAYBOOKS = Projection(
    name="playbooks",
    layout=1,
    tables=("playbook", "playbook_version"),
    kinds=(
        "playbook.published",
        "playbook.rolled_back",
        "playbook.version_imported",
        "playbook.drift_approved",
        "playbook.canary_promoted",
        "playbook.retired",
    ),
    effects=_effects,
    copied={"playbook_version": _VERSION},
)
