"""What an administrator asks about webhooks, through the bus."""

from __future__ import annotations

from collections.abc import Sequence

from standardwebhooks.webhooks import Webhook

from callboard.contracts import subjects, webhook_subjects
from callboard.contracts.people import CreateProject
from callboard.contracts.playbooks import Done
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
    WebhookLine,
    Webhooks,
    WebhookSecret,
)
from tests.authsvc.stack import Edge, Stack, new_id
from tests.webhooks.receiver import Came

QUICK = {"private_upstreams": "127.0.0.1", "webhook_retry_seconds": 0.05}


def verify(secret: str, came: Came) -> None:
    """As another implementation of the standard does it; raises."""
    Webhook(secret).verify(came.body.decode(), came.headers)


class Administrator(Edge):
    """Of the organisation `acme`, unless another is named."""

    async def register(
        self,
        url: str,
        kinds: Sequence[str] = ("*",),
        webhook: str = "hook",
        id: str = "",
        organisation: str = "acme",
    ) -> str:
        command = RegisterWebhook(
            command_id=id or new_id(), organisation=organisation, webhook=webhook, url=url, kinds=tuple(kinds)
        )
        return (await self.bus.ask(webhook_subjects.REGISTER, command, WebhookSecret)).secret

    async def rotate(self, overlap: int) -> str:
        command = RotateWebhookSecret(command_id=new_id(), organisation="acme", webhook="hook", overlap_seconds=overlap)
        return (await self.bus.ask(webhook_subjects.ROTATE, command, WebhookSecret)).secret

    async def switch(self, on: bool) -> Done:
        command = SwitchWebhook(command_id=new_id(), organisation="acme", webhook="hook", on=on)
        return await self.bus.ask(webhook_subjects.SWITCH, command, Done)

    async def replay(self, first: int, last: int) -> Done:
        command = ReplayWebhook(command_id=new_id(), organisation="acme", webhook="hook", first=first, last=last)
        return await self.bus.ask(webhook_subjects.REPLAY, command, Done)

    async def delete(self) -> Done:
        command = DeleteWebhook(command_id=new_id(), organisation="acme", webhook="hook")
        return await self.bus.ask(webhook_subjects.DELETE, command, Done)

    async def test(self) -> Delivery:
        question = TestWebhook(organisation="acme", webhook="hook")
        return await self.bus.ask(webhook_subjects.TEST, question, Delivery)

    async def line(self, organisation: str = "acme") -> WebhookLine:
        [line] = (
            await self.bus.ask(webhook_subjects.WEBHOOKS, AskWebhooks(organisation=organisation), Webhooks)
        ).webhooks
        return line

    async def deliveries(self) -> tuple[Delivery, ...]:
        question = AskDeliveries(organisation="acme", webhook="hook")
        return (await self.bus.ask(webhook_subjects.DELIVERIES, question, Deliveries)).deliveries

    async def happens(self, name: str, organisation: str = "acme") -> int:
        """Something: a project is made. Its number in the log."""
        command = CreateProject(command_id=new_id(), organisation=organisation, project=name)
        return (await self.bus.ask(subjects.CREATE_PROJECT, command, Done)).seq


async def administrator(stack: Stack) -> Administrator:
    """With an authsvc running, and `acme`."""
    await stack.authsvc(**QUICK)
    asking = Administrator(await stack.bus_of("edge"))
    await asking.create("acme")
    return asking
