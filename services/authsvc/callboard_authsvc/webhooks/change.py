"""Register, rotate, pause and resume, order a replay, delete: the event and the row in one transaction."""

from __future__ import annotations

from callboard.contracts.playbooks import Done
from callboard.contracts.problems import Problem
from callboard.contracts.webhook_events import WebhookEvent
from callboard.contracts.webhooks import (
    DeleteWebhook,
    RegisterWebhook,
    ReplayWebhook,
    RotateWebhookSecret,
    SwitchWebhook,
    WebhookSecret,
)
from callboard.platform.egress import EgressRefused
from callboard.platform.event_store import Connection
from callboard_authsvc.webhooks.dependencies import WebhookDependencies
from callboard_authsvc.webhooks.domain import (
    MAX_OVERLAP,
    WEBHOOK,
    Delete,
    Register,
    Replay,
    Rotate,
    Switch,
    check,
    secret_of,
    stream_of,
)
from callboard_authsvc.webhooks.secrets import add_secret

MAX_WEBHOOKS = 50
"""Of one organisation."""


async def register_webhook(command: RegisterWebhook, use: WebhookDependencies) -> WebhookSecret:
    """Raises `organisation.unknown`, `argument.invalid`, `webhook.exists`, or `command.reused` when delivered twice."""
    await use.vault.organisations.require(command.organisation)
    order = Register(webhook=command.webhook, url=command.url, kinds=command.kinds)
    check(order)
    await _check_destination(command.url, use)
    if len(await use.table.all(command.organisation)) >= MAX_WEBHOOKS:
        raise Problem("argument.invalid", f"webhook: an organisation has at most {MAX_WEBHOOKS}", argument="webhook")
    made: list[str] = []

    async def insert(connection: Connection, events: tuple[WebhookEvent, ...]) -> None:
        made.append(await add_secret(connection, command.organisation, command.webhook, use))
        await use.table.insert(connection, command.organisation, command.webhook, command.url, command.kinds)

    outcome = await use.vault.journal.record(command, stream_of(command.webhook), WEBHOOK, order, insert)
    if outcome.replayed:
        raise _shown_before()
    return WebhookSecret(webhook=command.webhook, secret=made[-1])


async def _check_destination(url: str, use: WebhookDependencies) -> None:
    """Refuse at once what no delivery would reach; it is vetted again at each of them."""
    try:
        await use.egress.vet(url)
    except EgressRefused as refused:
        raise Problem("argument.invalid", f"url: {refused}", argument="url") from None
    except OSError:
        return  # a name that is not known yet


async def rotate_webhook_secret(command: RotateWebhookSecret, use: WebhookDependencies) -> WebhookSecret:
    """Raises `webhook.unknown`, `argument.invalid`, or `command.reused` for a second delivery."""
    await use.vault.organisations.require(command.organisation)
    if not 0 <= command.overlap_seconds <= MAX_OVERLAP:
        raise Problem("argument.invalid", f"overlap: use 0 to {MAX_OVERLAP} seconds", argument="overlap_seconds")
    made: list[str] = []

    async def replace(connection: Connection, events: tuple[WebhookEvent, ...]) -> None:
        made.append(await add_secret(connection, command.organisation, command.webhook, use))
        await use.table.overlap(connection, command.organisation, command.webhook, command.overlap_seconds)

    order = Rotate(webhook=command.webhook)
    outcome = await use.vault.journal.record(command, stream_of(command.webhook), WEBHOOK, order, replace)
    if outcome.replayed:
        raise _shown_before()
    return WebhookSecret(webhook=command.webhook, secret=made[-1])


async def switch_webhook(command: SwitchWebhook, use: WebhookDependencies) -> Done:
    """Raises `webhook.unknown`. Resuming makes the next attempt at once."""
    await use.vault.organisations.require(command.organisation)

    async def switch(connection: Connection, events: tuple[WebhookEvent, ...]) -> None:
        await use.table.switch(connection, command.organisation, command.webhook, "on" if command.on else "paused")

    order = Switch(webhook=command.webhook, on=command.on)
    outcome = await use.vault.journal.record(command, stream_of(command.webhook), WEBHOOK, order, switch)
    return Done(seq=outcome.seq)


async def replay_webhook(command: ReplayWebhook, use: WebhookDependencies) -> Done:
    """Raises `webhook.unknown` or `argument.invalid`. A replay that is not finished gives way to this one."""
    await use.vault.organisations.require(command.organisation)

    async def replay(connection: Connection, events: tuple[WebhookEvent, ...]) -> None:
        await use.table.replay(connection, command.organisation, command.webhook, command.first, command.last)

    order = Replay(webhook=command.webhook, first=command.first, last=command.last)
    outcome = await use.vault.journal.record(command, stream_of(command.webhook), WEBHOOK, order, replay)
    return Done(seq=outcome.seq)


async def delete_webhook(command: DeleteWebhook, use: WebhookDependencies) -> Done:
    """Raises `webhook.unknown`. Its secret and its deliveries go with it."""
    await use.vault.organisations.require(command.organisation)

    async def delete(connection: Connection, events: tuple[WebhookEvent, ...]) -> None:
        await use.table.delete(connection, command.organisation, command.webhook)
        await use.vault.table.delete(connection, command.organisation, secret_of(command.webhook))

    order = Delete(webhook=command.webhook)
    outcome = await use.vault.journal.record(command, stream_of(command.webhook), WEBHOOK, order, delete)
    return Done(seq=outcome.seq)


def _shown_before() -> Problem:
    words = "this command already made the secret, which is shown only once; rotate it with a new command id"
    return Problem("command.reused", words)
