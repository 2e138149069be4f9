"""Every event of the log. Past tense, named for the reason; a tag never changes its meaning.

A new field has a default; a changed meaning is a new struct with tag `….v2` and an upcast in
`callboard.contracts.upcasts`. Golden bytes of each stand in `tests/contracts/golden/`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from callboard.contracts.definitions import Catalogue, PlaybookContent, ServerDefinition
from callboard.contracts.drift import Drift


class OrganisationCreated(msgspec.Struct, frozen=True, kw_only=True, tag="organisation.created", tag_field="type"):
    """An organisation exists from here on; its log begins with this event."""

    organisation: str
    title: str = ""


class ServerRegistered(msgspec.Struct, frozen=True, kw_only=True, tag="server.registered", tag_field="type"):
    """A server is known under this name, and connectors may connect to it."""

    server: str
    definition: ServerDefinition


class ServerReconfigured(msgspec.Struct, frozen=True, kw_only=True, tag="server.reconfigured", tag_field="type"):
    """The definition of a known server was replaced."""

    server: str
    definition: ServerDefinition


class ServerRetired(msgspec.Struct, frozen=True, kw_only=True, tag="server.retired", tag_field="type"):
    """The server is no longer connected to; its name may be registered again."""

    server: str


class ServerCatalogueDiscovered(
    msgspec.Struct, frozen=True, kw_only=True, tag="server.catalogue_discovered", tag_field="type"
):
    """A discovery found something else than the one before. `digest` is over all items."""

    server: str
    digest: str
    catalogue: Catalogue


class PlaybookPublished(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.published", tag_field="type"):
    """Version `version` exists and is the current one."""

    playbook: str
    version: int
    content: PlaybookContent
    content_digest: str


class PlaybookRolledBack(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.rolled_back", tag_field="type"):
    """Version `version` has the content of `to_version` and is the current one; nothing is deleted."""

    playbook: str
    version: int
    to_version: int
    content: PlaybookContent
    content_digest: str


class PlaybookVersionImported(
    msgspec.Struct, frozen=True, kw_only=True, tag="playbook.version_imported", tag_field="type"
):
    """Version `version` was published elsewhere, by `actor` at `made_at`; the last one imported is the current one.

    `definitions`: digest -> what a server said (its JSON text), of what no earlier event of this import holds.
    """

    playbook: str
    version: int
    content: PlaybookContent
    content_digest: str
    origin: str
    reason: str
    actor: str
    comment: str
    made_at: datetime
    rolled_back_to: int | None = None
    definitions: dict[str, str] = {}


class PlaybookDrifted(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.drifted", tag_field="type"):
    """Servers say otherwise what version `version` shows of them; each with both definitions and what becomes of it."""

    playbook: str
    version: int
    drifts: tuple[Drift, ...]


class PlaybookDriftApproved(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.drift_approved", tag_field="type"):
    """Version `version` pins what was held back as it is now, and is the current one."""

    playbook: str
    version: int
    content: PlaybookContent
    content_digest: str
    approved: tuple[Drift, ...]


class PlaybookDriftRejected(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.drift_rejected", tag_field="type"):
    """What was held back stays hidden, because somebody decided so."""

    playbook: str
    rejected: tuple[Drift, ...]


class PlaybookRetired(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.retired", tag_field="type"):
    """The playbook is no longer served; its versions stay readable."""

    playbook: str


class ClientPinned(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.client_pinned", tag_field="type"):
    """The client is served this version from here on, whichever is the current one."""

    playbook: str
    client: str
    version: int


class ClientUnpinned(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.client_unpinned", tag_field="type"):
    """The client is served what everybody is served again."""

    playbook: str
    client: str


class CanaryStarted(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.canary_started", tag_field="type"):
    """Version `version` is tried on `percent` of the callers until a time, or until `condition` holds.

    It is judged once it answered `min_calls` calls. For conditions see `kernel.canary`.
    """

    playbook: str
    canary: str
    version: int
    percent: float
    until: datetime
    condition: str
    min_calls: int


class CanaryPromoted(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.canary_promoted", tag_field="type"):
    """It went well: version `version` has the content of `tried`, is the current one, and the canary is over."""

    playbook: str
    canary: str
    version: int
    tried: int
    content: PlaybookContent
    content_digest: str


class CanaryEnded(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.canary_ended", tag_field="type"):
    """All callers are served the current version again.

    "stopped" by an operator; "failed": its condition held; "inconclusive": its time was over before there were calls
    enough; "superseded": the playbook got another version, or was retired.
    """

    playbook: str
    canary: str
    tried: int
    reason: Literal["stopped", "failed", "inconclusive", "superseded"]


class ClientTokenIssued(msgspec.Struct, frozen=True, kw_only=True, tag="client.token_issued", tag_field="type"):
    """A client got a token; only its id is here, the verifier is in the vault's table."""

    client: str
    key_id: str
    scopes: tuple[str, ...]
    playbooks: tuple[str, ...] = ()
    expires_at: datetime | None = None


class ClientTokenRevoked(msgspec.Struct, frozen=True, kw_only=True, tag="client.token_revoked", tag_field="type"):
    """The token is refused from here on."""

    client: str
    key_id: str


class SecretStored(msgspec.Struct, frozen=True, kw_only=True, tag="secret.stored", tag_field="type"):
    """The vault holds version `version` of the secret; the value is nowhere else."""

    secret: str
    version: int


class SecretDestroyed(msgspec.Struct, frozen=True, kw_only=True, tag="secret.destroyed", tag_field="type"):
    """All versions of the secret were deleted from the vault."""

    secret: str


class VaultKeyRotated(msgspec.Struct, frozen=True, kw_only=True, tag="vault.key_rotated", tag_field="type"):
    """Secrets are sealed under this version of the organisation's data key from here on."""

    version: int


class VaultShredded(msgspec.Struct, frozen=True, kw_only=True, tag="vault.shredded", tag_field="type"):
    """All data keys of the organisation were destroyed, and all that was sealed under them."""


class UpstreamSignedIn(msgspec.Struct, frozen=True, kw_only=True, tag="upstream.signed_in", tag_field="type"):
    """Somebody signed in to a server; the tokens are in the vault. An empty `subject`: for all callers."""

    server: str
    subject: str
    issuer: str
    scopes: tuple[str, ...] = ()


class UpstreamSignInLost(msgspec.Struct, frozen=True, kw_only=True, tag="upstream.sign_in_lost", tag_field="type"):
    """The tokens cannot be renewed any more: somebody has to sign in again."""

    server: str
    subject: str


class UpstreamSignedOut(msgspec.Struct, frozen=True, kw_only=True, tag="upstream.signed_out", tag_field="type"):
    """The tokens were deleted from the vault."""

    server: str
    subject: str


class ConsumerAdmitted(msgspec.Struct, frozen=True, kw_only=True, tag="consumer.admitted", tag_field="type"):
    """An analytics consumer may read this organisation's call records and events from the bus."""

    consumer: str
    public_key: str


class ConsumerDismissed(msgspec.Struct, frozen=True, kw_only=True, tag="consumer.dismissed", tag_field="type"):
    """The consumer's credentials are refused from here on."""

    consumer: str
    public_key: str


Event = (
    OrganisationCreated
    | ServerRegistered
    | ServerReconfigured
    | ServerRetired
    | ServerCatalogueDiscovered
    | PlaybookPublished
    | PlaybookRolledBack
    | PlaybookVersionImported
    | PlaybookDrifted
    | PlaybookDriftApproved
    | PlaybookDriftRejected
    | PlaybookRetired
    | ClientPinned
    | ClientUnpinned
    | CanaryStarted
    | CanaryPromoted
    | CanaryEnded
    | ClientTokenIssued
    | ClientTokenRevoked
    | SecretStored
    | SecretDestroyed
    | VaultKeyRotated
    | VaultShredded
    | UpstreamSignedIn
    | UpstreamSignInLost
    | UpstreamSignedOut
    | ConsumerAdmitted
    | ConsumerDismissed
)


class EventMeta(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who, why and through what: stored beside every event and part of the hash chain."""

    actor: str
    comment: str = ""
    correlation: str = ""
    causation: str = ""
    producer: str = ""


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """An event as the log holds it. `seq` is gapless per organisation; `version` per stream."""

    organisation: str
    seq: int
    event_id: str
    stream: str
    version: int
    type: str
    schema_version: int
    recorded_at: datetime
    meta: EventMeta
    event: Event
    command_id: str = ""


class PublishedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The public form on `cb.evt.<organisation>.<type>`: one JSON object per event of the log."""

    organisation: str
    seq: int
    event_id: str
    stream: str
    version: int
    recorded_at: datetime
    actor: str
    comment: str
    event: Event


decode_event = msgspec.json.Decoder(Event).decode
encode_event = msgspec.json.Encoder().encode
decode_published = msgspec.json.Decoder(PublishedEvent).decode


def type_of(event: Event) -> str:
    """The tag of an event, for example `playbook.rolled_back`."""
    tag = event.__struct_config__.tag
    assert isinstance(tag, str)
    return tag
