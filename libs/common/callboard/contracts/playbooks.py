"""What the router is told and answers: applying files, versions, retiring, and what a playbook exposes.

A command is imperative and carries `command_id`: the same id gives the same answer, however often it is delivered.
`actor` is set by the edge from the verified token, never by the caller. Subjects: `callboard.contracts.subjects`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from callboard.contracts.connected import AffectedClient
from callboard.contracts.definitions import Catalogue, PlaybookContent, PlaybookDefinition, ServerDefinition


class ApplyOrganisation(msgspec.Struct, frozen=True, kw_only=True, tag="organisation.apply", tag_field="type"):
    """Make servers and playbooks look like this, in one transaction. `dry_run` only says what would change.

    `accept_drift`: these playbooks pin what servers say now, also where it was held back.
    """

    command_id: str
    organisation: str
    servers: dict[str, ServerDefinition]
    playbooks: dict[str, PlaybookDefinition]
    comment: str = ""
    actor: str = ""
    dry_run: bool = False
    prune: bool = False
    accept_drift: bool = False


Kind = Literal["added", "removed", "changed", "renamed", "narrowed", "widened"]
Severity = Literal["breaking", "notable", "harmless"]


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """A client that called a thing lately, and how often."""

    client: str
    calls: int


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a plan or diff. `path` is like `tool git__git_log input /properties/limit`.

    `narrowed` and `widened` are said of schemas: fewer values are taken, or more. `severity` says who notices, and
    `callers` who called the tool lately (see `AskDiff.days`). `warnings`: what a person cannot see in the new text.
    """

    kind: Kind
    path: str
    before: Any = None
    after: Any = None
    severity: Severity = "notable"
    callers: tuple[Caller, ...] = ()
    warnings: tuple[str, ...] = ()


class PlannedChange(msgspec.Struct, frozen=True, kw_only=True):
    """What applying does to one server or playbook; `version` is the one published (or to be)."""

    subject: str
    action: Literal["register", "reconfigure", "publish", "retire", "unchanged", "left_alone"]
    version: int | None = None
    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()


class Applied(msgspec.Struct, frozen=True, kw_only=True, tag="organisation.applied", tag_field="type"):
    """Answer to `ApplyOrganisation`. `seq` is the log position after it (0 when nothing changed)."""

    organisation: str
    plan: tuple[PlannedChange, ...]
    changed: bool
    seq: int = 0


class RollBackPlaybook(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.roll_back", tag_field="type"):
    """Publish the content of version `to` as the next version. `expected` guards against a lost update.

    `dry_run` only says what that would change, whom, and what has become of the servers since.
    """

    command_id: str
    organisation: str
    playbook: str
    to: int
    comment: str
    actor: str = ""
    expected: int | None = None
    dry_run: bool = False


class RolledBack(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.roll_back_done", tag_field="type"):
    """Answer to `RollBackPlaybook`: the version that is current now; in a dry run what would be, and what of it.

    `clients`: in a dry run, those that are connected now or called in the last minutes, and would be served it.
    """

    playbook: str
    version: int
    to_version: int
    content_digest: str
    seq: int
    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()
    clients: tuple[AffectedClient, ...] = ()


EXPORT_FORMAT = "callboard-playbook-1"


class ExportedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version as it was: content, who made it, why and when."""

    version: int
    reason: str
    actor: str
    comment: str
    made_at: datetime
    content: PlaybookContent
    content_digest: str
    rolled_back_to: int | None = None


class ExportedPlaybook(msgspec.Struct, frozen=True, kw_only=True):
    """A playbook with its history, oldest first. `servers` are those that its newest version uses.

    `definitions`: digest -> what a server said (its JSON text), of everything that a version exposes and that is
    still known.
    """

    format: str
    organisation: str
    playbook: str
    servers: dict[str, ServerDefinition]
    versions: tuple[ExportedVersion, ...]
    definitions: dict[str, str] = {}


class ImportPlaybook(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.import", tag_field="type"):
    """Make a playbook with this history, under a name that never was one here.

    `register_servers`: also register the servers it uses and nobody has registered here, as the file has them. That
    starts programs and sends secrets where the file says, so it is not done unasked.
    """

    command_id: str
    organisation: str
    playbook: str
    exported: ExportedPlaybook
    comment: str
    actor: str = ""
    register_servers: bool = False


class ImportedPlaybook(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.imported", tag_field="type"):
    """Answer to `ImportPlaybook`: its current version, and the servers that were registered with it."""

    playbook: str
    version: int
    registered: tuple[str, ...]
    seq: int


class RetirePlaybook(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.retire", tag_field="type"):
    """Stop serving a playbook; its history stays."""

    command_id: str
    organisation: str
    playbook: str
    comment: str
    actor: str = ""


class RetireServer(msgspec.Struct, frozen=True, kw_only=True, tag="server.retire", tag_field="type"):
    """Forget a server that no playbook uses."""

    command_id: str
    organisation: str
    server: str
    comment: str
    actor: str = ""


class RecordCatalogue(msgspec.Struct, frozen=True, kw_only=True, tag="server.record_catalogue", tag_field="type"):
    """A connector saw this catalogue. Nothing is written when its digest is the one of the last discovery."""

    command_id: str
    organisation: str
    server: str
    digest: str
    catalogue: Catalogue
    producer: str


class Done(msgspec.Struct, frozen=True, kw_only=True, tag="done", tag_field="type"):
    """The command took effect; `seq` is the log position after it (0: nothing had to change)."""

    seq: int = 0


class CatalogueChanged(msgspec.Struct, frozen=True, kw_only=True, tag="catalogue.changed", tag_field="type"):
    """router > edges on `cb.changed.<organisation>.<playbook>`: what a playbook exposes now.

    `etags`: "tools" | "prompts" | "resources" -> digest of that list. An edge tells an agent to list again when
    the digest is another one than the agent was told of last: once, however many routers say it, however often.
    `version` 0, without etags: the playbook is not served any more. `divided`: some callers are served another version,
    so that each has to be asked for. `seq` is where the router stands in the organisation's log.
    """

    organisation: str
    playbook: str
    version: int
    etags: dict[str, str]
    divided: bool = False
    seq: int = 0


class WatchResources(msgspec.Struct, frozen=True, kw_only=True, tag="resources.watch", tag_field="type"):
    """edge > connectors on `cb.watch.<organisation>.<server>`: agents here want to hear of these resources.

    Said anew every 20 s and forgotten after 60 s, so that no crash leaves a subscription behind. Who asks for an answer
    gets it from the worker that owns the server.
    """

    organisation: str
    server: str
    uris: tuple[str, ...]


class ResourcesWatched(msgspec.Struct, frozen=True, kw_only=True, tag="resources.watched", tag_field="type"):
    """connector > edge, answer to `WatchResources`: from now on a change of these resources is heard.

    Also told when the server cannot be asked to say so: then nobody can do more.
    """


class ResourceOwner(msgspec.Struct, frozen=True, kw_only=True, tag="resource.owner", tag_field="type"):
    """router > edge, answer to the method `callboard/owner`: whose resource a URI is; "" for the playbook's own."""

    server: str


class ResourceUpdated(msgspec.Struct, frozen=True, kw_only=True, tag="resource.updated", tag_field="type"):
    """connector > edges on `cb.updated.<organisation>.<server>`: the upstream says that a resource changed."""

    organisation: str
    server: str
    uri: str


class Opened(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.opened", tag_field="type"):
    """router > edge, answer to the method `callboard/open`: what a client learns when it connects."""

    version: int
    title: str
    description: str
    instructions: str
    capabilities: msgspec.Raw
    etags: dict[str, str]
    tasks: msgspec.Raw = msgspec.Raw(b"{}")
    """The capability `tasks` of 2025-11-25, which no other revision has; empty when no server has it."""
    divided: bool = False
    """Another caller may be told otherwise: this answer is not to be kept for others."""
