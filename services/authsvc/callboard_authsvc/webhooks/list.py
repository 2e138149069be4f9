"""The webhooks of an organisation, and what became of their deliveries."""

from __future__ import annotations

from callboard.contracts.webhooks import AskDeliveries, AskWebhooks, Deliveries, Webhooks
from callboard_authsvc.webhooks.dependencies import WebhookDependencies
from callboard_authsvc.webhooks.domain import unknown

MOST = 200


async def list_webhooks(question: AskWebhooks, use: WebhookDependencies) -> Webhooks:
    """By name. Raises `organisation.unknown`."""
    await use.vault.organisations.require(question.organisation)
    return Webhooks(webhooks=tuple(await use.table.all(question.organisation)))


async def list_deliveries(question: AskDeliveries, use: WebhookDependencies) -> Deliveries:
    """The newest first. Raises `organisation.unknown`, `webhook.unknown`."""
    await use.vault.organisations.require(question.organisation)
    if await use.table.target(question.organisation, question.webhook) is None:
        raise unknown(question.webhook)
    limit = max(1, min(question.limit, MOST))
    return Deliveries(deliveries=tuple(await use.table.deliveries(question.organisation, question.webhook, limit)))
