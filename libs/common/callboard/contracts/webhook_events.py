"""The events of webhooks of ours, without secrets; `callboard.contracts.events` has the rules, and the list of all."""

from __future__ import annotations

import msgspec


class WebhookRegistered(msgspec.Struct, frozen=True, kw_only=True, tag="webhook.registered", tag_field="type"):
    """Events of these kinds (globs over their types) are sent to this URL from here on."""

    webhook: str
    url: str
    kinds: tuple[str, ...]


class WebhookSecretRotated(msgspec.Struct, frozen=True, kw_only=True, tag="webhook.secret_rotated", tag_field="type"):
    """Deliveries are signed with another secret, and for some time with the old one as well."""

    webhook: str


class WebhookPaused(msgspec.Struct, frozen=True, kw_only=True, tag="webhook.paused", tag_field="type"):
    """Nothing is sent until it is resumed; then what came in between is."""

    webhook: str


class WebhookResumed(msgspec.Struct, frozen=True, kw_only=True, tag="webhook.resumed", tag_field="type"):
    """Sending goes on where it ended."""

    webhook: str


class WebhookDisabled(msgspec.Struct, frozen=True, kw_only=True, tag="webhook.disabled", tag_field="type"):
    """The receiver did not take event `seq` for too long. Sending goes on there once somebody resumes it."""

    webhook: str
    seq: int
    reason: str


class WebhookReplayOrdered(msgspec.Struct, frozen=True, kw_only=True, tag="webhook.replay_ordered", tag_field="type"):
    """The events from `first` to `last` are sent once more, under their old ids, before what is new."""

    webhook: str
    first: int
    last: int


class WebhookDeleted(msgspec.Struct, frozen=True, kw_only=True, tag="webhook.deleted", tag_field="type"):
    """Nothing is sent there any more, and its secret is gone."""

    webhook: str


WebhookEvent = (
    WebhookRegistered
    | WebhookSecretRotated
    | WebhookPaused
    | WebhookResumed
    | WebhookDisabled
    | WebhookReplayOrdered
    | WebhookDeleted
)
