"""Webhooks that come in: signed messages, and nothing else says whose they are."""

from __future__ import annotations

from typing import Annotated, Any, Final

from litestar import Request, post
from litestar.params import Parameter

from callboard.contracts import subjects
from callboard.contracts.people import ReceiveWebhook
from callboard.contracts.playbooks import Done
from callboard.contracts.problems import Problem
from callboard.platform.bus import Bus

MAX_BYTES: Final = 256_000


@post("/webhooks/identity", summary="What the identity provider tells", status_code=200)
async def identity_webhook(
    bus: Bus,
    request: Request[Any, Any, Any],
    id: Annotated[str, Parameter(header="webhook-id")] = "",
    timestamp: Annotated[str, Parameter(header="webhook-timestamp")] = "",
    signatures: Annotated[str, Parameter(header="webhook-signature")] = "",
) -> Done:
    """Signed as Standard Webhooks has it; a message counts once, and within five minutes of its time."""
    body = await request.body()
    if len(body) > MAX_BYTES:
        raise Problem("payload.too_large", f"a webhook has at most {MAX_BYTES} bytes")
    message = ReceiveWebhook(id=id, timestamp=timestamp, signatures=signatures, body=body)
    return await bus.ask(subjects.RECEIVE_WEBHOOK, message, Done)


ROUTES = [identity_webhook]
