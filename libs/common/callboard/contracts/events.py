"""Every event of the log. Past tense, named for the reason; a tag never changes its meaning.

A new field has a default; a changed meaning is a new struct with tag `….v2` and an upcast in
`callboard.contracts.upcasts`. Golden bytes of each stand in `tests/contracts/golden/`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, get_args

import msgspec

from callboard.contracts.access_events import AccessEvent
from callboard.contracts.definitions import (
    Catalogue,
    Layer,
    LayerScope,
    PlaybookContent,
    PlaybookDefinition,
    ServerDefinition,
)
from callboard.contracts.drift import Drift
from callboard.contracts.people_events import (
    InvitationWithdrawn,
    MemberInvited,
    MemberJoined,
    MemberProvisioned,
    MemberRemoved,
    MemberRoleGiven,
    OrganisationPlanChosen,
    PlaybookAssigned,
    PlaybookUnassigned,
    ProjectCreated,
    ProjectRemoved,
    ProjectRetitled,
    ServiceAccountCreated,
)
from callboard.contracts.personal import Personal
from callboard.contracts.policy_events import PolicyEvent
from callboard.contracts.sign_in_events import SignInEvent
from callboard.contracts.signing_events import SigningEvent
from callboard.contracts.vault_events import VaultEvent
from callboard.contracts.webhook_events import WebhookEvent


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
    actor: Personal
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


class DraftEdited(msgspec.Struct, frozen=True, kw_only=True, tag="draft.edited", tag_field="type"):
    """Revision `revision` of the draft is this; it is to follow version `base`, whatever that shows."""

    playbook: str
    revision: int
    base: int
    definition: PlaybookDefinition


class DraftDiscarded(msgspec.Struct, frozen=True, kw_only=True, tag="draft.discarded", tag_field="type"):
    """The draft was thrown away at this revision."""

    playbook: str
    revision: int


class DraftPublished(msgspec.Struct, frozen=True, kw_only=True, tag="draft.published", tag_field="type"):
    """The draft at this revision has become version `version`, or had the content of that version already."""

    playbook: str
    revision: int
    version: int


class LayerPublished(msgspec.Struct, frozen=True, kw_only=True, tag="layer.published", tag_field="type"):
    """Version `version` of a layer is this; playbooks that are published from here on stand on it."""

    scope: LayerScope
    version: int
    layer: Layer
    digest: str
    project: str = ""


class ClientPinned(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.client_pinned", tag_field="type"):
    """The client is served this version from here on, whichever is the current one."""

    playbook: str
    client: Personal
    version: int


class ClientUnpinned(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.client_unpinned", tag_field="type"):
    """The client is served what everybody is served again."""

    playbook: str
    client: Personal


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


class PersonErased(msgspec.Struct, frozen=True, kw_only=True, tag="person.erased", tag_field="type"):
    """The key of this person was destroyed: what it sealed is `[erased]`, their tokens are refused,
    and what they signed in to at upstream servers is forgotten.

    Of a member: the account is gone, unless another organisation has the person. Only the opaque id stands here.
    """

    person: str


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
    | DraftEdited
    | DraftDiscarded
    | DraftPublished
    | LayerPublished
    | ClientPinned
    | ClientUnpinned
    | CanaryStarted
    | CanaryPromoted
    | CanaryEnded
    | MemberInvited
    | InvitationWithdrawn
    | MemberJoined
    | MemberProvisioned
    | ServiceAccountCreated
    | MemberRoleGiven
    | MemberRemoved
    | ProjectCreated
    | ProjectRetitled
    | PlaybookAssigned
    | PlaybookUnassigned
    | ProjectRemoved
    | OrganisationPlanChosen
    | VaultEvent
    | SigningEvent
    | AccessEvent
    | PersonErased
    | WebhookEvent
    | PolicyEvent
    | SignInEvent
)


class EventMeta(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Who, why and through what: stored beside every event and part of the hash chain."""

    actor: Personal
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
    actor: Personal
    comment: str
    event: Event


decode_event = msgspec.json.Decoder(Event).decode
encode_event = msgspec.json.Encoder().encode
decode_published = msgspec.json.Decoder(PublishedEvent).decode


KINDS = frozenset(str(kind.__struct_config__.tag) for kind in get_args(Event))
"""The tags of all events."""


def type_of(event: Event) -> str:
    """The tag of an event, for example `playbook.rolled_back`."""
    tag = event.__struct_config__.tag
    assert isinstance(tag, str)
    return tag
