"""Bodies of the management API (`/api/v1`), shared by the edge and the SDK. Unknown fields are refused.

Most answers are the answers of the bus, from `playbooks`, `access`, `records` and `status`.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from callboard.contracts.audit import Witness
from callboard.contracts.definitions import Layer, PlaybookDefinition, ServerDefinition
from callboard.contracts.drafts import DraftStep, Prefer
from callboard.contracts.drift import DriftChoice
from callboard.contracts.playbooks import ExportedPlaybook
from callboard.contracts.status import InstanceStatus


class NewOrganisation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /organisations`."""

    organisation: str
    title: str = ""
    command_id: str | None = None


class WantedState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /organisations/{organisation}/apply`: what the organisation shall look like."""

    servers: dict[str, ServerDefinition] = {}
    playbooks: dict[str, PlaybookDefinition] = {}
    comment: str = ""
    dry_run: bool = False
    prune: bool = False
    accept_drift: bool = False
    command_id: str | None = None


class RollBack(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST …/playbooks/{name}/rollback`. `expected` is the version the caller believes is current."""

    to: int
    comment: str = ""
    expected: int | None = None
    dry_run: bool = False
    command_id: str | None = None


class DraftEdits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST …/playbooks/{name}/draft`. `expected` is the revision that was edited; 0: there was no draft."""

    edits: tuple[DraftStep, ...]
    expected: int | None = None
    comment: str = ""
    command_id: str | None = None


class DraftRebase(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST …/playbooks/{name}/draft/rebase`; `prefer` says which side wins where both changed a thing."""

    expected: int | None = None
    prefer: Prefer = ""
    comment: str = ""
    command_id: str | None = None


class Publish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST …/playbooks/{name}/publish`. What is expected is what the caller looked at."""

    comment: str = ""
    expected_version: int | None = None
    expected_revision: int | None = None
    accept_drift: bool = False
    dry_run: bool = False
    command_id: str | None = None


class NewLayer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST …/layer`. `expected` is the version that this one is to follow."""

    layer: Layer
    comment: str = ""
    expected: int | None = None
    dry_run: bool = False
    command_id: str | None = None


class Poison(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /projections/{name}/skip` and `…/retry`: the event, and why."""

    organisation: str
    seq: int
    comment: str = ""


class Pin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `PUT …/playbooks/{name}/pins/{client}`."""

    version: int
    comment: str
    command_id: str | None = None


class NewCanary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST …/playbooks/{name}/canary`; `condition` is like `errors > 2% or p99 > 800ms`."""

    version: int
    percent: float
    until: datetime
    condition: str
    comment: str
    min_calls: int = 50
    command_id: str | None = None


class Comment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST …/playbooks/{name}/canary/promote` and `…/canary/stop`."""

    comment: str
    command_id: str | None = None


class ReplayCall(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST …/playbooks/{name}/replays`: run a recorded call again on `version` (0: the current one).

    `unsafe` names tools that may run although they are not marked read-only. `ignore` are patterns of places, as in
    `definitions.Recording`, like `/structuredContent/took`; `ignore_times` takes any two times for equal.
    `candidate`: run it on what the playbook would be with this definition instead; nothing is published.
    """

    call_id: str
    version: int = 0
    unsafe: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    ignore_times: bool = False
    candidate: PlaybookDefinition | None = None


class DecideDrift(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST …/playbooks/{name}/drift/approve` and `…/reject`."""

    things: tuple[DriftChoice, ...]
    comment: str
    command_id: str | None = None


class Import(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST …/playbooks/{name}/import`: what `GET …/playbooks/{name}/export` answered elsewhere."""

    exported: ExportedPlaybook
    comment: str
    register_servers: bool = False
    command_id: str | None = None


class NewToken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST …/tokens`. `playbooks` are globs; none means every playbook. Scopes: `kernel.permissions`.

    `person`: seal the client's name, which is a person's.
    """

    client: str
    scopes: tuple[str, ...] = ("use",)
    playbooks: tuple[str, ...] = ()
    expires_in_seconds: int | None = None
    command_id: str | None = None
    person: bool = False


class NewServiceClient(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST …/oauth-clients`. `public_keys`: a JWK set as text, of a client that signs instead of a secret."""

    account: str
    title: str = ""
    public_keys: str = ""
    command_id: str | None = None


class NewSignIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST …/servers/{name}/sign-ins`. `own`: for the calls of the caller's own client only."""

    own: bool = False


class SecretValue(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `PUT …/secrets/{name}`."""

    value: str
    command_id: str | None = None

    def __repr__(self) -> str:
        return "SecretValue([redacted])"


class NewConsumer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST …/consumers`."""

    consumer: str
    command_id: str | None = None


class WhichChain(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /audit/verify`; no organisation means all of them. `witnesses` come from anchors."""

    organisation: str = ""
    witnesses: tuple[Witness, ...] = ()


class SystemStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of `GET /status`: every instance that answered in time, ordered by room and name."""

    instances: tuple[InstanceStatus, ...]
