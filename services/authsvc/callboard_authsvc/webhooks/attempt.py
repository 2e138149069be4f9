"""One message to one receiver: signed, sent once, and the outcome noted."""

from __future__ import annotations

import time
from datetime import datetime

import msgspec

from callboard.contracts.problems import Problem
from callboard.contracts.webhooks import Delivery, TestWebhook, WebhookMessage
from callboard.kernel.webhook_signatures import signature_of
from callboard.platform.egress import EgressRefused, FetchFailed
from callboard.platform.event_store import new_id
from callboard_authsvc.webhooks.dependencies import WebhookDependencies
from callboard_authsvc.webhooks.domain import fault_of, unknown
from callboard_authsvc.webhooks.due import Target
from callboard_authsvc.webhooks.secrets import signing_keys

SECONDS = 10.0
_ANSWER_BYTES = 64 * 1024
TEST = "webhook.test"


class Outcome(msgspec.Struct, frozen=True):
    """`problem`: empty when it was taken. `asked`: the receiver's `Retry-After`."""

    status: int
    problem: str
    took_ms: int
    asked: str = ""


async def send(target: Target, id: str, message: WebhookMessage, now: datetime, use: WebhookDependencies) -> Outcome:
    """Whatever happens is an outcome; nothing of the answer but its status is kept."""
    started = time.monotonic()
    try:
        body = msgspec.json.encode(message)
        keys = await signing_keys(target.organisation, target.webhook, target.both, use)
        headers = _headers(keys, id, str(int(now.timestamp())), body)
        fetched = await use.egress.fetch("POST", target.url, headers, body, limit=_ANSWER_BYTES, seconds=SECONDS)
        status, problem = fetched.status, fault_of(fetched.status)
        asked = fetched.headers.get("retry-after", "")
    except (EgressRefused, FetchFailed) as error:
        status, problem, asked = 0, str(error), ""
    except Problem as error:
        status, problem, asked = 0, error.message, ""
    return Outcome(status, problem, round((time.monotonic() - started) * 1000), asked)


def _headers(keys: list[bytes], id: str, timestamp: str, body: bytes) -> dict[str, str]:
    if not keys:
        raise Problem("secret.unknown", "its secret is gone; rotate it")
    return {
        "Content-Type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(signature_of(key, id, timestamp, body) for key in keys),
    }


async def try_webhook(question: TestWebhook, use: WebhookDependencies) -> Delivery:
    """Send a test now. Raises `organisation.unknown`, `webhook.unknown`."""
    await use.vault.organisations.require(question.organisation)
    target = await use.table.target(question.organisation, question.webhook)
    if target is None:
        raise unknown(question.webhook)
    now = use.vault.clock()
    message = WebhookMessage(type=TEST, timestamp=now, data=None)
    outcome = await send(target, f"{question.organisation}:test:{new_id()}", message, now, use)
    delivery = delivery_of(0, TEST, 1, now, outcome)
    await use.table.note(target.organisation, target.webhook, delivery)
    return delivery


def delivery_of(seq: int, kind: str, attempt: int, at: datetime, outcome: Outcome) -> Delivery:
    """An attempt as it is listed."""
    return Delivery(
        seq=seq,
        kind=kind,
        attempt=attempt,
        at=at,
        status=outcome.status,
        problem=outcome.problem,
        took_ms=outcome.took_ms,
    )
