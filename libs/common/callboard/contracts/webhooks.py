"""Webhooks of ours: an organisation's events, sent to a URL and signed (Standard Webhooks 1.0).

Subjects: `callboard.contracts.webhook_subjects`. Bodies of the management API stand at the end.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec

from callboard.contracts.events import PublishedEvent

State = Literal["on", "paused", "disabled"]
LAST_EVENT: Final = 2**63 - 1
"""No event of a log has a greater number."""


class RegisterWebhook(msgspec.Struct, frozen=True, kw_only=True, tag="webhook.register", tag_field="type"):
    """Send events of these kinds to a URL, from now on."""

    command_id: str
    organisation: str
    webhook: str
    url: str
    kinds: tuple[str, ...] = ("*",)
    actor: str = ""


class RotateWebhookSecret(msgspec.Struct, frozen=True, kw_only=True, tag="webhook.rotate", tag_field="type"):
    """Sign with another secret; for `overlap_seconds` with the old one as well."""

    command_id: str
    organisation: str
    webhook: str
    overlap_seconds: int
    actor: str = ""


class SwitchWebhook(msgspec.Struct, frozen=True, kw_only=True, tag="webhook.switch", tag_field="type"):
    """Pause or resume sending."""

    command_id: str
    organisation: str
    webhook: str
    on: bool
    comment: str = ""
    actor: str = ""


class DeleteWebhook(msgspec.Struct, frozen=True, kw_only=True, tag="webhook.delete", tag_field="type"):
    """Send nothing any more."""

    command_id: str
    organisation: str
    webhook: str
    comment: str = ""
    actor: str = ""


class ReplayWebhook(msgspec.Struct, frozen=True, kw_only=True, tag="webhook.replay", tag_field="type"):
    """Send the events from `first` to `last` (of the webhook's kinds) once more, under their old ids."""

    command_id: str
    organisation: str
    webhook: str
    first: int
    last: int
    actor: str = ""


class WebhookSecret(msgspec.Struct, frozen=True, kw_only=True):
    """The secret (`whsec_…`), shown this once."""

    webhook: str
    secret: str

    def __repr__(self) -> str:
        return f"WebhookSecret(webhook={self.webhook!r})"


class TestWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """Send a message of the type `webhook.test` now, also while the webhook is paused."""

    organisation: str
    webhook: str


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt. `seq` 0: a test. `status` 0: there was no answer, and `problem` says why; empty: it was taken."""

    seq: int
    kind: str
    attempt: int
    at: datetime
    status: int
    problem: str
    took_ms: int


class AskWebhooks(msgspec.Struct, frozen=True, kw_only=True):
    """The webhooks of an organisation."""

    organisation: str


class WebhookLine(msgspec.Struct, frozen=True, kw_only=True):
    """One of them. `position`: the last event it is done with; `failures`: attempts at the next one."""

    webhook: str
    url: str
    kinds: tuple[str, ...]
    state: State
    position: int
    failures: int
    next_attempt_at: datetime | None = None
    problem: str = ""


class Webhooks(msgspec.Struct, frozen=True, kw_only=True):
    """By name."""

    webhooks: tuple[WebhookLine, ...]


class AskDeliveries(msgspec.Struct, frozen=True, kw_only=True):
    """What was sent lately."""

    organisation: str
    webhook: str
    limit: int = 100


class Deliveries(msgspec.Struct, frozen=True, kw_only=True):
    """The newest attempt first."""

    deliveries: tuple[Delivery, ...]


class WebhookMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The body that a receiver gets. `data` is the event as analytics consumers get it; None in a test."""

    type: str
    timestamp: datetime
    data: PublishedEvent | None


class NewWebhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST …/webhooks`. `kinds` are globs over types of events, like `playbook.*`."""

    webhook: str
    url: str
    kinds: tuple[str, ...] = ("*",)
    command_id: str | None = None


class WebhookRange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST …/webhooks/{name}/replay`."""

    first: Annotated[int, msgspec.Meta(le=LAST_EVENT)]
    last: Annotated[int, msgspec.Meta(le=LAST_EVENT)]
    command_id: str | None = None
