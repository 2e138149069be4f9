"""The events of clients: their tokens, their grants, analytics consumers. `contracts.events` has the rules."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from callboard.contracts.personal import Personal

GrantEnd = Literal[
    "client", "person", "administrator", "code_replayed", "refresh_replayed", "client_removed", "outgrown", "password"
]
"""Who or what ended a grant. `outgrown`: the client uses a later one that has more scopes."""


class ClientTokenIssued(msgspec.Struct, frozen=True, kw_only=True, tag="client.token_issued", tag_field="type"):
    """A client got a token; only its id is here, the verifier is in the vault's table.

    `member`: who stands behind it; absent where nobody does.
    """

    client: Personal
    key_id: str
    scopes: tuple[str, ...]
    playbooks: tuple[str, ...] = ()
    expires_at: datetime | None = None
    member: str | msgspec.UnsetType = msgspec.UNSET


class ClientTokenRevoked(msgspec.Struct, frozen=True, kw_only=True, tag="client.token_revoked", tag_field="type"):
    """The token is refused from here on."""

    client: Personal
    key_id: str


class ClientTokenRotated(msgspec.Struct, frozen=True, kw_only=True, tag="client.token_rotated", tag_field="type"):
    """The token is refused from `until` on; `replaced_by` allows the same."""

    client: Personal
    key_id: str
    replaced_by: str
    until: datetime


class ConsentGiven(msgspec.Struct, frozen=True, kw_only=True, tag="grant.consent_given", tag_field="type"):
    """A person (by its id) lets a client act for it, at one playbook or (empty) at all of the organisation.

    `client_name` is what the client calls itself; nobody has verified it.
    """

    grant: str
    member: str
    client_id: str
    client_name: str
    playbook: str
    scopes: tuple[str, ...]


class ConsentRefused(msgspec.Struct, frozen=True, kw_only=True, tag="grant.consent_refused", tag_field="type"):
    """A person (by its id) was asked the same, and said no, or may not."""

    member: str
    client_id: str
    client_name: str
    playbook: str
    scopes: tuple[str, ...]


class GrantIssued(msgspec.Struct, frozen=True, kw_only=True, tag="grant.issued", tag_field="type"):
    """A client acts for a member without being asked: by its own credentials, or an identity provider's assertion."""

    grant: str
    member: str
    client_id: str
    means: Literal["client_credentials", "assertion"]
    playbook: str
    scopes: tuple[str, ...]


class GrantRevoked(msgspec.Struct, frozen=True, kw_only=True, tag="grant.revoked", tag_field="type"):
    """All tokens of the grant are refused from here on."""

    grant: str
    member: str
    reason: GrantEnd


class RefreshReplayDetected(
    msgspec.Struct, frozen=True, kw_only=True, tag="grant.refresh_replay_detected", tag_field="type"
):
    """A refresh token was presented that had been replaced long before: it may have been stolen."""

    grant: str
    generation: int


class ServiceClientAdded(msgspec.Struct, frozen=True, kw_only=True, tag="oauth_client.added", tag_field="type"):
    """A client may get tokens by its own credentials, in the name of a service account."""

    client_id: str
    account: str
    auth_method: str


class ServiceClientRemoved(msgspec.Struct, frozen=True, kw_only=True, tag="oauth_client.removed", tag_field="type"):
    """The client is refused from here on."""

    client_id: str
    account: str


class ConsumerAdmitted(msgspec.Struct, frozen=True, kw_only=True, tag="consumer.admitted", tag_field="type"):
    """An analytics consumer may read this organisation's call records and events from the bus."""

    consumer: str
    public_key: str


class ConsumerDismissed(msgspec.Struct, frozen=True, kw_only=True, tag="consumer.dismissed", tag_field="type"):
    """The consumer's credentials are refused from here on."""

    consumer: str
    public_key: str


AccessEvent = (
    ClientTokenIssued
    | ClientTokenRevoked
    | ClientTokenRotated
    | ConsentGiven
    | ConsentRefused
    | GrantIssued
    | GrantRevoked
    | RefreshReplayDetected
    | ServiceClientAdded
    | ServiceClientRemoved
    | ConsumerAdmitted
    | ConsumerDismissed
)
