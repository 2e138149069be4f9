"""Commands (imperative, change something) and asks (queries), each with its answer. Subject in `subjects`.

A command carries `command_id`: the same id gives the same answer, however often it is delivered.
`actor` is set by the edge from the verified token, never by the caller.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from callboard.contracts.calls import CallRecord
from callboard.contracts.definitions import Catalogue, PlaybookContent, PlaybookDefinition, ServerDefinition
from callboard.contracts.events import PublishedEvent

# ---------------------------------------------------------------------------------------------- router


class ApplyOrganisation(msgspec.Struct, frozen=True, kw_only=True, tag="organisation.apply", tag_field="type"):
    """Make servers and playbooks look like this, in one transaction. `dry_run` only says what would change."""

    command_id: str
    organisation: str
    servers: dict[str, ServerDefinition]
    playbooks: dict[str, PlaybookDefinition]
    comment: str = ""
    actor: str = ""
    dry_run: bool = False
    prune: bool = False


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a plan or diff. `path` is like `tool git__git_log`, `severity` says who notices."""

    kind: Literal["added", "removed", "changed", "renamed"]
    path: str
    before: Any = None
    after: Any = None
    severity: Literal["breaking", "notable", "harmless"] = "notable"


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
    """Publish the content of version `to` as the next version. `expected` guards against a lost update."""

    command_id: str
    organisation: str
    playbook: str
    to: int
    comment: str
    actor: str = ""
    expected: int | None = None


class RolledBack(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.roll_back_done", tag_field="type"):
    """Answer to `RollBackPlaybook`: the version that now is current."""

    playbook: str
    version: int
    to_version: int
    content_digest: str
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
    """

    organisation: str
    playbook: str
    version: int
    etags: dict[str, str]


class WatchResources(msgspec.Struct, frozen=True, kw_only=True, tag="resources.watch", tag_field="type"):
    """edge > connectors on `cb.watch.<organisation>.<server>`: agents here want to hear of these resources.

    Said anew every 20 s and forgotten after 60 s, so that no crash leaves a subscription behind.
    """

    organisation: str
    server: str
    uris: tuple[str, ...]


class ResourceOwner(msgspec.Struct, frozen=True, kw_only=True, tag="resource.owner", tag_field="type"):
    """router > edge, answer to the method `callboard/owner`: whose resource a URI is."""

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


# ------------------------------------------------------------------------------------------ connectors


class ProbeServer(msgspec.Struct, frozen=True, kw_only=True, tag="server.probe", tag_field="type"):
    """Connect to a definition that is perhaps not registered yet, list what it offers, disconnect."""

    organisation: str
    server: str
    definition: ServerDefinition


class Probed(msgspec.Struct, frozen=True, kw_only=True, tag="server.probed", tag_field="type"):
    """Answer to `ProbeServer`: the catalogue, or why there is none."""

    server: str
    catalogue: Catalogue | None = None
    digest: str = ""
    problem: str = ""


class PlaceServer(msgspec.Struct, frozen=True, kw_only=True, tag="server.place", tag_field="type"):
    """router > connectors: nobody answers for this server; whoever may take its lease does so now."""

    organisation: str
    server: str


# --------------------------------------------------------------------------------------------- authsvc


class CreateOrganisation(msgspec.Struct, frozen=True, kw_only=True, tag="organisation.create", tag_field="type"):
    """Create an organisation; asking again for one that exists answers `Done` with seq 0."""

    command_id: str
    organisation: str
    title: str = ""
    actor: str = ""


class IssueToken(msgspec.Struct, frozen=True, kw_only=True, tag="token.issue", tag_field="type"):
    """Issue a client token. `playbooks` are globs (none: every playbook); scopes: use, read, manage."""

    command_id: str
    organisation: str
    client: str
    scopes: tuple[str, ...] = ("use",)
    playbooks: tuple[str, ...] = ()
    expires_in_seconds: int | None = None
    actor: str = ""


class TokenIssued(msgspec.Struct, frozen=True, kw_only=True, tag="token.issued", tag_field="type"):
    """The only time the token's value is shown."""

    token: str
    key_id: str
    client: str
    scopes: tuple[str, ...]
    playbooks: tuple[str, ...]
    expires_at: datetime | None = None

    def __repr__(self) -> str:
        return f"TokenIssued(key_id={self.key_id!r}, client={self.client!r})"


class RevokeToken(msgspec.Struct, frozen=True, kw_only=True, tag="token.revoke", tag_field="type"):
    """Refuse a token from now on; edges are told at once."""

    command_id: str
    organisation: str
    key_id: str
    comment: str = ""
    actor: str = ""


class AskTokens(msgspec.Struct, frozen=True, kw_only=True, tag="tokens?", tag_field="type"):
    """List the tokens of an organisation, without their values."""

    organisation: str


class TokenLine(msgspec.Struct, frozen=True, kw_only=True):
    """One token as listed."""

    key_id: str
    client: str
    scopes: tuple[str, ...]
    playbooks: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


class Tokens(msgspec.Struct, frozen=True, kw_only=True, tag="tokens", tag_field="type"):
    """Answer to `AskTokens`."""

    tokens: tuple[TokenLine, ...]


class VerifyToken(msgspec.Struct, frozen=True, kw_only=True, tag="token.verify", tag_field="type"):
    """edge > authsvc: whose token is this? Unknown, expired and revoked are `auth.invalid`."""

    token: str

    def __repr__(self) -> str:
        return "VerifyToken()"


class Principal(msgspec.Struct, frozen=True, kw_only=True, tag="principal", tag_field="type"):
    """Who is asking. `organisation` "*" is the local administrator, who may enter every organisation."""

    key_id: str
    client: str
    organisation: str
    scopes: tuple[str, ...]
    playbooks: tuple[str, ...] = ()
    expires_at: datetime | None = None


class TokenRevoked(msgspec.Struct, frozen=True, kw_only=True, tag="token.revoked", tag_field="type"):
    """authsvc > edges on `cb.push.token_revoked`: drop what you have cached of this key."""

    key_id: str


class StoreSecret(msgspec.Struct, frozen=True, kw_only=True, tag="secret.store", tag_field="type"):
    """Put a value into the organisation's vault under a name; the newest version is the one used."""

    command_id: str
    organisation: str
    secret: str
    value: str
    actor: str = ""

    def __repr__(self) -> str:
        return f"StoreSecret(organisation={self.organisation!r}, secret={self.secret!r})"


class DestroySecret(msgspec.Struct, frozen=True, kw_only=True, tag="secret.destroy", tag_field="type"):
    """Delete every version of a secret."""

    command_id: str
    organisation: str
    secret: str
    actor: str = ""


class AskSecrets(msgspec.Struct, frozen=True, kw_only=True, tag="secrets?", tag_field="type"):
    """List the names in the vault; values never leave it this way."""

    organisation: str


class SecretLine(msgspec.Struct, frozen=True, kw_only=True):
    """One secret as listed."""

    secret: str
    version: int
    stored_at: datetime


class Secrets(msgspec.Struct, frozen=True, kw_only=True, tag="secrets", tag_field="type"):
    """Answer to `AskSecrets`."""

    secrets: tuple[SecretLine, ...]


class OpenSecrets(msgspec.Struct, frozen=True, kw_only=True, tag="secret.open", tag_field="type"):
    """connector > authsvc: the values behind these references, to use and not to keep."""

    organisation: str
    secrets: tuple[str, ...]


class OpenedSecrets(msgspec.Struct, frozen=True, kw_only=True, tag="secret.opened", tag_field="type"):
    """Answer to `OpenSecrets`."""

    values: dict[str, str]

    def __repr__(self) -> str:
        return f"OpenedSecrets({sorted(self.values)})"


class AdmitConsumer(msgspec.Struct, frozen=True, kw_only=True, tag="consumer.admit", tag_field="type"):
    """Make bus credentials and durable consumers for an analytics consumer."""

    command_id: str
    organisation: str
    consumer: str
    actor: str = ""


class ConsumerAdmission(msgspec.Struct, frozen=True, kw_only=True, tag="consumer.admission", tag_field="type"):
    """The only time the credentials are shown. `durables` maps a subject to (stream, durable name).

    The credentials allow replies on `inbox_prefix` only: give it to the NATS client when connecting.
    """

    consumer: str
    url: str
    credentials: str
    subjects: tuple[str, ...]
    durables: dict[str, tuple[str, str]]
    inbox_prefix: str = ""

    def __repr__(self) -> str:
        return f"ConsumerAdmission(consumer={self.consumer!r}, url={self.url!r})"


class DismissConsumer(msgspec.Struct, frozen=True, kw_only=True, tag="consumer.dismiss", tag_field="type"):
    """Refuse a consumer's credentials from now on and delete its durable consumers."""

    command_id: str
    organisation: str
    consumer: str
    actor: str = ""


class AskConsumers(msgspec.Struct, frozen=True, kw_only=True, tag="consumers?", tag_field="type"):
    """List the analytics consumers of an organisation."""

    organisation: str


class ConsumerLine(msgspec.Struct, frozen=True, kw_only=True):
    """One analytics consumer as listed."""

    consumer: str
    public_key: str
    admitted_at: datetime


class Consumers(msgspec.Struct, frozen=True, kw_only=True, tag="consumers", tag_field="type"):
    """Answer to `AskConsumers`."""

    consumers: tuple[ConsumerLine, ...]


# ----------------------------------------------------------------------------------------- projections


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
    changed_by: str
    retired: bool = False


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
    actor: str
    comment: str
    recorded_at: datetime
    content_digest: str
    tools: int
    rolled_back_to: int | None = None


class History(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.history", tag_field="type"):
    """Answer to `AskHistory`."""

    playbook: str
    versions: tuple[VersionLine, ...]


class AskVersion(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.version?", tag_field="type"):
    """One version whole; `version` 0 is the current one."""

    organisation: str
    playbook: str
    version: int = 0


class Version(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.version", tag_field="type"):
    """Answer to `AskVersion`."""

    organisation: str
    playbook: str
    line: VersionLine
    content: PlaybookContent


class AskDiff(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.diff?", tag_field="type"):
    """What changes from version `before` to version `after`."""

    organisation: str
    playbook: str
    before: int
    after: int


class Diff(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.diff", tag_field="type"):
    """Answer to `AskDiff`."""

    playbook: str
    before: int
    after: int
    changes: tuple[Change, ...]


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
    """The log of an organisation from `after` (exclusive), oldest first."""

    organisation: str
    after: int = 0
    limit: int = 200


class Events(msgspec.Struct, frozen=True, kw_only=True, tag="events", tag_field="type"):
    """Answer to `AskEvents`."""

    events: tuple[PublishedEvent, ...]


class AskCalls(msgspec.Struct, frozen=True, kw_only=True, tag="calls?", tag_field="type"):
    """Recent call records of an organisation, newest first."""

    organisation: str
    playbook: str = ""
    call_id: str = ""
    limit: int = 50


class Calls(msgspec.Struct, frozen=True, kw_only=True, tag="calls", tag_field="type"):
    """Answer to `AskCalls`."""

    calls: tuple[CallRecord, ...]


class VerifyAudit(msgspec.Struct, frozen=True, kw_only=True, tag="audit.verify", tag_field="type"):
    """Recompute the hash chain of an organisation (or of all, when empty) from the stored rows."""

    organisation: str = ""


class ChainVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """The chain of one organisation: intact up to `seq`, or broken at `broken_at` and why."""

    organisation: str
    events: int
    seq: int
    head: str
    intact: bool
    broken_at: int | None = None
    reason: str = ""


class AuditVerdict(msgspec.Struct, frozen=True, kw_only=True, tag="audit.verdict", tag_field="type"):
    """Answer to `VerifyAudit`."""

    chains: tuple[ChainVerdict, ...]
    intact: bool


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


class AskRebuild(msgspec.Struct, frozen=True, kw_only=True, tag="projection.rebuild?", tag_field="type"):
    """How far the rebuild of this projection is."""

    projection: str


# ------------------------------------------------------------------------------------------- every room


class AskStatus(msgspec.Struct, frozen=True, kw_only=True, tag="status?", tag_field="type"):
    """Broadcast on `cb.ask.status`: every instance of every room answers with its `InstanceStatus`."""


class ServerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One upstream as one connector sees it. States are those of features.md F74."""

    organisation: str
    server: str
    state: Literal["ONLINE", "OFFLINE", "DEGRADED", "MAINTENANCE", "UNKNOWN"]
    transport: str
    era: str = ""
    owner: bool = False
    in_flight: int = 0
    restarts: int = 0
    tools: int = 0
    quarantined: dict[str, str] = {}
    problem: str = ""
    generation: int = 0


class ProjectionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One projection: `lag` is the number of events of the log it has not folded yet."""

    projection: str
    lag: int
    events: int
    tables: str = ""
    problem: str = ""


class InstanceStatus(msgspec.Struct, frozen=True, kw_only=True, tag="status", tag_field="type"):
    """One process of one room."""

    room: str
    instance: str
    version: str
    pid: int
    uptime_seconds: float
    ready: bool
    problem: str = ""
    servers: tuple[ServerStatus, ...] = ()
    projections: tuple[ProjectionStatus, ...] = ()
    figures: dict[str, float] = {}


class LogHint(msgspec.Struct, frozen=True, kw_only=True, tag="log.hint", tag_field="type"):
    """Lossy wake-up on `cb.hint.<organisation>` after an append: the log has reached `seq`."""

    organisation: str
    seq: int


class SessionChanged(msgspec.Struct, frozen=True, kw_only=True, tag="session.changed", tag_field="type"):
    """edge > edges on `cb.push.session_changed`: read a handshake session anew."""

    session: str


class SessionEnded(msgspec.Struct, frozen=True, kw_only=True, tag="session.ended", tag_field="type"):
    """edge > edges on `cb.push.session_ended`: a handshake session was deleted."""

    session: str
