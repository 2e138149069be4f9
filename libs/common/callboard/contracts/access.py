"""Organisations, tokens, principals, secrets, analytics consumers: commands to authsvc and its answers.

A command is imperative and carries `command_id`: the same id gives the same answer, however often it is delivered.
`actor` is set by the edge from the verified token, never by the caller. Subjects: `callboard.contracts.subjects`.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from callboard.contracts.personal import Personal


class CreateOrganisation(msgspec.Struct, frozen=True, kw_only=True, tag="organisation.create", tag_field="type"):
    """Create an organisation; asking again for one that exists answers `Done` with seq 0."""

    command_id: str
    organisation: str
    title: str = ""
    actor: str = ""


class IssueToken(msgspec.Struct, frozen=True, kw_only=True, tag="token.issue", tag_field="type"):
    """Issue a client token. `playbooks` are globs (none: every playbook); scopes: `kernel.permissions.SCOPES`.

    `by` is the key of whoever asks, set by the edge like `actor`: the token never allows more than that one's member
    may do at the moment, and ends with the membership. A token for a service account is bound by the account instead.
    `person`: the client's name is a person's, to be sealed from now on.
    """

    command_id: str
    organisation: str
    client: str
    scopes: tuple[str, ...] = ("use",)
    playbooks: tuple[str, ...] = ()
    expires_in_seconds: int | None = None
    actor: str = ""
    person: bool = False
    by: str = ""


class TokenIssued(msgspec.Struct, frozen=True, kw_only=True, tag="token.issued", tag_field="type"):
    """The only time the token's value is shown."""

    token: str
    key_id: str
    client: Personal
    scopes: tuple[str, ...]
    playbooks: tuple[str, ...]
    expires_at: datetime | None = None

    def __repr__(self) -> str:
        return f"TokenIssued(key_id={self.key_id!r}, client={self.client!r})"


class RevokeToken(msgspec.Struct, frozen=True, kw_only=True, tag="token.revoke", tag_field="type"):
    """Refuse a token from now on; edges are told at once. `by` as in `IssueToken`."""

    command_id: str
    organisation: str
    key_id: str
    comment: str = ""
    actor: str = ""
    by: str = ""


class RotateToken(msgspec.Struct, frozen=True, kw_only=True, tag="token.rotate", tag_field="type"):
    """Issue a token that allows what this one allows; the old one goes on working for `overlap_seconds`."""

    command_id: str
    organisation: str
    key_id: str
    overlap_seconds: int = 3600
    actor: str = ""
    by: str = ""


class AskTokens(msgspec.Struct, frozen=True, kw_only=True, tag="tokens?", tag_field="type"):
    """List the tokens of an organisation, without their values."""

    organisation: str


class TokenLine(msgspec.Struct, frozen=True, kw_only=True):
    """One token as listed. `member`: who stands behind it; `used_at`: the last use, to about half a minute."""

    key_id: str
    client: Personal
    scopes: tuple[str, ...]
    playbooks: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    member: str = ""
    used_at: datetime | None = None
    replaced_by: str = ""


class Tokens(msgspec.Struct, frozen=True, kw_only=True, tag="tokens", tag_field="type"):
    """Answer to `AskTokens`."""

    tokens: tuple[TokenLine, ...]


class VerifyToken(msgspec.Struct, frozen=True, kw_only=True, tag="token.verify", tag_field="type"):
    """edge > authsvc: whose token is this? Unknown, expired and revoked are `auth.invalid`."""

    token: str

    def __repr__(self) -> str:
        return "VerifyToken()"


ANONYMOUS_KEY = "anonymous"
"""The `key_id` of whoever comes without a token."""
EVERY_ORGANISATION = "*"
"""The `organisation` of administrators of the installation."""


class Principal(msgspec.Struct, frozen=True, kw_only=True, tag="principal", tag_field="type"):
    """Who is asking. `organisation` "*" is an administrator, who may enter every organisation.

    `member`: the person or service account behind it; `grants`: organisation > what the member may do there now, as
    its role and permissions (see `kernel.permissions`). Without a member it is None, and the scopes alone count.
    A signed-in person belongs to no single organisation: `organisation` is empty.
    `renewed`: its token is one of a series, so that a call which began with one may end after it.
    `oauth_client`: the id of the client that a grant was given to.
    """

    key_id: str
    client: Personal
    organisation: str
    scopes: tuple[str, ...]
    playbooks: tuple[str, ...] = ()
    expires_at: datetime | None = None
    member: str = ""
    grants: dict[str, tuple[str, ...]] | None = None
    renewed: bool = False
    oauth_client: str = ""


class TokenRevoked(msgspec.Struct, frozen=True, kw_only=True, tag="token.revoked", tag_field="type"):
    """authsvc > edges on `cb.push.token_revoked`: drop what you have cached of this key."""

    key_id: str


class RightsChanged(msgspec.Struct, frozen=True, kw_only=True, tag="rights.changed", tag_field="type"):
    """authsvc > edges on `cb.push.rights_changed`: whoever has this key may do something else now; ask again."""

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


class AskTaskKey(msgspec.Struct, frozen=True, kw_only=True, tag="task_key?", tag_field="type"):
    """connector > authsvc: the key that seals the ids of an organisation's tasks."""

    organisation: str


class TaskKey(msgspec.Struct, frozen=True, kw_only=True, tag="task_key", tag_field="type"):
    """Answer to `AskTaskKey`: 64 bytes, the same for every worker and after every restart."""

    key: bytes

    def __repr__(self) -> str:
        return "TaskKey()"


class AdmitConsumer(msgspec.Struct, frozen=True, kw_only=True, tag="consumer.admit", tag_field="type"):
    """Make bus credentials and durable consumers for an analytics consumer.

    `by`: the key of whoever asks; the credentials end when the member behind it may not admit consumers any more.
    """

    command_id: str
    organisation: str
    consumer: str
    actor: str = ""
    by: str = ""


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
    comment: str = ""


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
