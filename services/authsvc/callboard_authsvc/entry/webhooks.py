"""Webhooks of ours: one handler each, one call."""

from __future__ import annotations

from callboard.contracts import webhook_subjects as subjects
from callboard.contracts.playbooks import Done
from callboard.contracts.subjects import HINT
from callboard.contracts.webhooks import (
    AskDeliveries,
    AskWebhooks,
    DeleteWebhook,
    Deliveries,
    Delivery,
    RegisterWebhook,
    ReplayWebhook,
    RotateWebhookSecret,
    SwitchWebhook,
    TestWebhook,
    Webhooks,
    WebhookSecret,
)
from callboard.platform.bus import Bus, register
from callboard_authsvc.webhooks.attempt import try_webhook
from callboard_authsvc.webhooks.change import (
    delete_webhook,
    register_webhook,
    replay_webhook,
    rotate_webhook_secret,
    switch_webhook,
)
from callboard_authsvc.webhooks.dependencies import WebhookDependencies
from callboard_authsvc.webhooks.list import list_deliveries, list_webhooks
from callboard_authsvc.webhooks.sending import Sending


async def serve_webhooks(bus: Bus, use: WebhookDependencies) -> Sending:
    """Register, rotate, switch, replay, delete; test; list. Gives what has to run to send; it wakes with the log."""

    async def begin(command: RegisterWebhook) -> WebhookSecret:
        return await register_webhook(command, use)

    async def rotate(command: RotateWebhookSecret) -> WebhookSecret:
        return await rotate_webhook_secret(command, use)

    async def switch(command: SwitchWebhook) -> Done:
        return await switch_webhook(command, use)

    async def replay(command: ReplayWebhook) -> Done:
        return await replay_webhook(command, use)

    async def delete(command: DeleteWebhook) -> Done:
        return await delete_webhook(command, use)

    async def test(question: TestWebhook) -> Delivery:
        return await try_webhook(question, use)

    async def webhooks(question: AskWebhooks) -> Webhooks:
        return await list_webhooks(question, use)

    async def deliveries(question: AskDeliveries) -> Deliveries:
        return await list_deliveries(question, use)

    register(bus, subjects.REGISTER, begin)
    register(bus, subjects.ROTATE, rotate)
    register(bus, subjects.SWITCH, switch)
    register(bus, subjects.REPLAY, replay)
    register(bus, subjects.DELETE, delete)
    register(bus, subjects.TEST, test)
    register(bus, subjects.WEBHOOKS, webhooks)
    register(bus, subjects.DELIVERIES, deliveries)
    sending = Sending(use)
    await bus.listen(f"{HINT}.>", sending.hinted)
    return sending
