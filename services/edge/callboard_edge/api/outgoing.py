"""Webhooks of ours: where an organisation's events are sent. Its administrators decide that."""

from __future__ import annotations

from litestar import delete, get, post

from callboard.contracts import webhook_subjects as subjects
from callboard.contracts.management import Comment
from callboard.contracts.people_management import Rotation
from callboard.contracts.playbooks import Done
from callboard.contracts.webhooks import (
    AskDeliveries,
    AskWebhooks,
    DeleteWebhook,
    Deliveries,
    Delivery,
    NewWebhook,
    RegisterWebhook,
    ReplayWebhook,
    RotateWebhookSecret,
    SwitchWebhook,
    TestWebhook,
    WebhookRange,
    Webhooks,
    WebhookSecret,
)
from callboard.platform.bus import Bus
from callboard_edge.api.caller import Caller, Stamp

_WEBHOOKS = "/organisations/{organisation:str}/webhooks"
_ONE = _WEBHOOKS + "/{name:str}"
_NOT_STORED = {"Cache-Control": "no-store"}
_WITHIN = 20.0


@get(_WEBHOOKS, summary="List webhooks")
async def list_webhooks(bus: Bus, caller: Caller, organisation: str) -> Webhooks:
    """Where each stands; no request shows a secret."""
    caller.require("govern", organisation)
    return await bus.ask(subjects.WEBHOOKS, AskWebhooks(organisation=organisation), Webhooks)


@post(_WEBHOOKS, summary="Register a webhook", response_headers=_NOT_STORED)
async def register_webhook(
    bus: Bus, caller: Caller, stamp: Stamp, organisation: str, data: NewWebhook
) -> WebhookSecret:
    """Events from now on are sent there. The only time the secret is shown."""
    caller.require("govern", organisation)
    command = RegisterWebhook(
        command_id=stamp.command_id(data.command_id),
        organisation=organisation,
        webhook=data.webhook,
        url=data.url,
        kinds=data.kinds,
        actor=caller.actor,
    )
    return await bus.ask(subjects.REGISTER, command, WebhookSecret, _WITHIN)


@post(_ONE + "/rotate", summary="Replace a webhook's secret", response_headers=_NOT_STORED)
async def rotate_webhook(
    bus: Bus, caller: Caller, stamp: Stamp, organisation: str, name: str, data: Rotation
) -> WebhookSecret:
    """For `overlap_seconds` messages have two signatures: of the new secret, and of the old one."""
    caller.require("govern", organisation)
    command = RotateWebhookSecret(
        command_id=stamp.command_id(data.command_id),
        organisation=organisation,
        webhook=name,
        overlap_seconds=data.overlap_seconds,
        actor=caller.actor,
    )
    return await bus.ask(subjects.ROTATE, command, WebhookSecret)


@post(_ONE + "/pause", summary="Pause a webhook", status_code=200)
async def pause_webhook(bus: Bus, caller: Caller, stamp: Stamp, organisation: str, name: str, data: Comment) -> Done:
    """Nothing is sent until it is resumed, and nothing is lost."""
    return await _switch(bus, caller, stamp.command_id(data.command_id), organisation, name, data.comment, on=False)


@post(_ONE + "/resume", summary="Resume a webhook", status_code=200)
async def resume_webhook(bus: Bus, caller: Caller, stamp: Stamp, organisation: str, name: str, data: Comment) -> Done:
    """Sending goes on where it ended, also after it was given up."""
    return await _switch(bus, caller, stamp.command_id(data.command_id), organisation, name, data.comment, on=True)


async def _switch(
    bus: Bus, caller: Caller, command_id: str, organisation: str, name: str, comment: str, *, on: bool
) -> Done:
    caller.require("govern", organisation)
    command = SwitchWebhook(
        command_id=command_id, organisation=organisation, webhook=name, on=on, comment=comment, actor=caller.actor
    )
    return await bus.ask(subjects.SWITCH, command, Done)


@post(_ONE + "/test", summary="Send a test", status_code=200)
async def try_webhook(bus: Bus, caller: Caller, organisation: str, name: str) -> Delivery:
    """One signed message of the type `webhook.test`, now; answers what became of it."""
    caller.require("govern", organisation)
    return await bus.ask(subjects.TEST, TestWebhook(organisation=organisation, webhook=name), Delivery, _WITHIN)


@post(_ONE + "/replay", summary="Send events again", status_code=200)
async def replay_webhook(
    bus: Bus, caller: Caller, stamp: Stamp, organisation: str, name: str, data: WebhookRange
) -> Done:
    """The events from `first` to `last`, under their old ids, before what is new."""
    caller.require("govern", organisation)
    command = ReplayWebhook(
        command_id=stamp.command_id(data.command_id),
        organisation=organisation,
        webhook=name,
        first=data.first,
        last=data.last,
        actor=caller.actor,
    )
    return await bus.ask(subjects.REPLAY, command, Done)


@get(_ONE + "/deliveries", summary="List deliveries")
async def list_deliveries(bus: Bus, caller: Caller, organisation: str, name: str, limit: int = 100) -> Deliveries:
    """The newest attempts, with what the receiver answered."""
    caller.require("govern", organisation)
    question = AskDeliveries(organisation=organisation, webhook=name, limit=limit)
    return await bus.ask(subjects.DELIVERIES, question, Deliveries)


@delete(_ONE, summary="Delete a webhook", status_code=200)
async def delete_webhook(
    bus: Bus, caller: Caller, stamp: Stamp, organisation: str, name: str, comment: str = ""
) -> Done:
    """Nothing is sent there any more; its secret is gone."""
    caller.require("govern", organisation)
    command = DeleteWebhook(
        command_id=stamp.command_id(), organisation=organisation, webhook=name, comment=comment, actor=caller.actor
    )
    return await bus.ask(subjects.DELETE, command, Done)


ROUTES = [
    list_webhooks,
    register_webhook,
    rotate_webhook,
    pause_webhook,
    resume_webhook,
    try_webhook,
    replay_webhook,
    list_deliveries,
    delete_webhook,
]
