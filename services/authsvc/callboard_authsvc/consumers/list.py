"""The consumers that are admitted."""

from __future__ import annotations

from callboard.contracts.access import AskConsumers, ConsumerLine, Consumers
from callboard_authsvc.consumers.dependencies import ConsumerDependencies


async def list_consumers(question: AskConsumers, use: ConsumerDependencies) -> Consumers:
    """By name. Raises `organisation.unknown`."""
    await use.organisations.require(question.organisation)
    rows = await use.table.active(question.organisation)
    return Consumers(
        consumers=tuple(
            ConsumerLine(consumer=row.consumer, public_key=row.public_key, admitted_at=row.admitted_at) for row in rows
        )
    )
