"""What projections are asked: histories, versions, differences, the log, calls, the chain, rebuilds.

A command is imperative and carries `command_id`: the same id gives the same answer, however often it is delivered.
`actor` is set by the edge from the verified token, never by the caller. Subjects: `callboard.contracts.subjects`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from callboard.contracts.assignments import CanaryLine, PinLine
from callboard.contracts.calls import CallRecord
from callboard.contracts.definitions import PlaybookContent, ServerDefinition
from callboard.contracts.events import PublishedEvent
from callboard.contracts.personal import Personal
from callboard.contracts.playbooks import Caller, Change, ExportedPlaybook


class AskOrganisations(msgspec.Struct, frozen=True, kw_only=True, tag="organisations?", tag_field="type"):
    """List every organisation."""


class OrganisationLine(msgspec.Struct, frozen=True, kw_only=True):
    """One organisation with the height of its log."""

    organisation: str
    title: str
    seq: int
    created_at: datetime


class Organisations(msgspec.Struct, frozen=True, kw_only=True, tag="organisations", tag_field="type"):
    """Answer to `AskOrganisations`."""

    organisations: tuple[OrganisationLine, ...]


class AskPlaybooks(msgspec.Struct, frozen=True, kw_only=True, tag="playbooks?", tag_field="type"):
    """List the playbooks of an organisation."""

    organisation: str


class PlaybookLine(msgspec.Struct, frozen=True, kw_only=True):
    """One playbook with its current version."""

    playbook: str
    title: str
    version: int
    access: str
    servers: tuple[str, ...]
    tools: int
    changed_at: datetime
    changed_by: Personal
    retired: bool = False
    canary: CanaryLine | None = None


class Playbooks(msgspec.Struct, frozen=True, kw_only=True, tag="playbooks", tag_field="type"):
    """Answer to `AskPlaybooks`."""

    playbooks: tuple[PlaybookLine, ...]


class AskHistory(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.history?", tag_field="type"):
    """Every version of a playbook, newest first."""

    organisation: str
    playbook: str


class VersionLine(msgspec.Struct, frozen=True, kw_only=True):
    """One version: what made it, who, why and when."""

    version: int
    reason: str
    actor: Personal
    comment: str
    recorded_at: datetime
    content_digest: str
    tools: int
    rolled_back_to: int | None = None


class History(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.history", tag_field="type"):
    """Answer to `AskHistory`; `pins` are all of the playbook, `canary` the one that runs."""

    playbook: str
    versions: tuple[VersionLine, ...]
    pins: tuple[PinLine, ...] = ()
    canary: CanaryLine | None = None


class AskVersion(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.version?", tag_field="type"):
    """One version whole; `version` 0 is the current one, or the one that was current `at` a time."""

    organisation: str
    playbook: str
    version: int = 0
    at: datetime | None = None


class Version(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.version", tag_field="type"):
    """Answer to `AskVersion`; `pins` and `canary` are those that serve this version now."""

    organisation: str
    playbook: str
    line: VersionLine
    content: PlaybookContent
    pins: tuple[PinLine, ...] = ()
    canary: CanaryLine | None = None


class AskDiff(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.diff?", tag_field="type"):
    """What changes from version `before` to version `after`, and who called what changes in the last `days`."""

    organisation: str
    playbook: str
    before: int
    after: int
    days: int = 7


class Diff(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.diff", tag_field="type"):
    """Answer to `AskDiff`."""

    playbook: str
    before: int
    after: int
    changes: tuple[Change, ...]


class AskCallers(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.callers?", tag_field="type"):
    """Who called these tools (by the names that agents see) in the last `days`."""

    organisation: str
    playbook: str
    tools: tuple[str, ...]
    days: int = 7


class Callers(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.callers", tag_field="type"):
    """Answer to `AskCallers`: tool -> its callers, the busiest first; a tool that nobody called is left out."""

    tools: dict[str, tuple[Caller, ...]]


class AskExport(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.export?", tag_field="type"):
    """A playbook with its whole history, as a file that can be imported elsewhere."""

    organisation: str
    playbook: str


class Exported(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.exported", tag_field="type"):
    """Answer to `AskExport`."""

    exported: ExportedPlaybook


class AskDefinition(msgspec.Struct, frozen=True, kw_only=True, tag="definition?", tag_field="type"):
    """The definition behind a digest, of a tool, prompt, resource or template."""

    organisation: str
    digest: str


class Definition(msgspec.Struct, frozen=True, kw_only=True, tag="definition", tag_field="type"):
    """Answer to `AskDefinition`: as the server said it, and when that was seen first."""

    digest: str
    kind: str
    server: str
    name: str
    first_seen: datetime
    definition: msgspec.Raw


class AskServers(msgspec.Struct, frozen=True, kw_only=True, tag="servers?", tag_field="type"):
    """List the servers of an organisation as registered (their live state is in the status)."""

    organisation: str


class ServerLine(msgspec.Struct, frozen=True, kw_only=True):
    """One registered server and the size of its last catalogue."""

    server: str
    definition: ServerDefinition
    tools: int = 0
    prompts: int = 0
    resources: int = 0
    catalogue_digest: str = ""
    discovered_at: datetime | None = None
    quarantined: tuple[str, ...] = ()


class Servers(msgspec.Struct, frozen=True, kw_only=True, tag="servers", tag_field="type"):
    """Answer to `AskServers`."""

    servers: tuple[ServerLine, ...]


class AskEvents(msgspec.Struct, frozen=True, kw_only=True, tag="events?", tag_field="type"):
    """The log of an organisation from `after` (exclusive), oldest first.

    `kinds`: only events of these types (globs); none: all. `newest`: the last ones instead of the first.
    """

    organisation: str
    after: int = 0
    limit: int = 200
    kinds: tuple[str, ...] = ()
    newest: bool = False


class Events(msgspec.Struct, frozen=True, kw_only=True, tag="events", tag_field="type"):
    """Answer to `AskEvents`; `more` when there are others after the last of them: ask again with its `seq`.

    Of the newest, `more` says that there are some before the first.
    """

    events: tuple[PublishedEvent, ...]
    more: bool = False


class AskEvent(msgspec.Struct, frozen=True, kw_only=True, tag="event?", tag_field="type"):
    """One event of an organisation: by its `seq`, or by its `event_id` when `seq` is 0."""

    organisation: str
    seq: int = 0
    event_id: str = ""


class LoggedEvent(msgspec.Struct, frozen=True, kw_only=True, tag="event", tag_field="type"):
    """Answer to `AskEvent`: the event with all that the log keeps beside it. The hashes are hexadecimal."""

    event: PublishedEvent
    event_type: str
    schema_version: int
    command_id: str
    correlation: str
    causation: str
    producer: str
    prev_hash: str
    hash: str


class AskCalls(msgspec.Struct, frozen=True, kw_only=True, tag="calls?", tag_field="type"):
    """Call records of an organisation, newest first; every filter that is not empty has to match.

    `since` (inclusive) and `until` (exclusive) bound the time of the call; without `since` it is the 24 hours before
    `until`, which without it is now. `call_id` finds one call of any time. `cursor` is where the page before ended.
    `arguments`: with those that were kept, as far as one answer has room for them.
    """

    organisation: str
    playbook: str = ""
    call_id: str = ""
    limit: int = 50
    version: int = 0
    tool: str = ""
    server: str = ""
    client: str = ""
    principal: str = ""
    era: str = ""
    outcome: str = ""
    digest: str = ""
    trace_id: str = ""
    min_us: int = 0
    since: datetime | None = None
    until: datetime | None = None
    cursor: str = ""
    arguments: bool = False


class Calls(msgspec.Struct, frozen=True, kw_only=True, tag="calls", tag_field="type"):
    """Answer to `AskCalls`; `cursor` asks for the next page, empty at the end.

    Contents come with `call_id` only, and those of `arguments` without results.
    """

    calls: tuple[CallRecord, ...]
    cursor: str = ""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One place of a result that is another one now; a side where nothing stands is None."""

    path: str
    before: Any = None
    after: Any = None


class Replayed(msgspec.Struct, frozen=True, kw_only=True, tag="call.replayed", tag_field="type"):
    """A recorded call that ran again. `compared` says what of it: the whole result, just how it ended, or the tool.

    The latter when that version has no such tool; then it did not run, and `replay_id` is empty.
    """

    call_id: str
    replay_id: str
    playbook: str
    version: int
    tool: str
    same: bool
    compared: Literal["result", "outcome", "definition"]
    outcome_before: str
    outcome_after: str
    us_before: int
    us_after: int
    differences: tuple[Difference, ...] = ()


class RebuildProjection(msgspec.Struct, frozen=True, kw_only=True, tag="projection.rebuild", tag_field="type"):
    """Fold the log from zero into new tables beside the live ones, compare, switch. Runs in the background."""

    projection: str


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True, tag="projection.rebuilt", tag_field="type"):
    """Answer to `RebuildProjection` and state of a running one. `checksum`s are over all rows."""

    projection: str
    state: Literal["running", "done", "failed"]
    events: int = 0
    of_events: int = 0
    seconds: float = 0.0
    checksum_before: str = ""
    checksum_after: str = ""
    problem: str = ""


class SkipEvent(msgspec.Struct, frozen=True, kw_only=True, tag="projection.skip", tag_field="type"):
    """Have a projection pass over the event at which it stopped, also when it is rebuilt."""

    projection: str
    organisation: str
    seq: int
    actor: str
    comment: str


class RetryEvent(msgspec.Struct, frozen=True, kw_only=True, tag="projection.retry", tag_field="type"):
    """Have a projection try the event at which it stopped, now; one that was skipped, at the next rebuild."""

    projection: str
    organisation: str
    seq: int
    actor: str
    comment: str = ""


class PoisonDecided(msgspec.Struct, frozen=True, kw_only=True, tag="projection.decided", tag_field="type"):
    """Answer to `SkipEvent` and `RetryEvent`. `at`: how far the projection has folded this organisation now."""

    projection: str
    organisation: str
    seq: int
    state: Literal["stopped", "skipped", "due"]
    at: int


class AskRebuild(msgspec.Struct, frozen=True, kw_only=True, tag="projection.rebuild?", tag_field="type"):
    """How far the rebuild of this projection is."""

    projection: str
