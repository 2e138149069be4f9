"""Consumers that depend on a right which is gone: dismissed, as a key would be, soon after the member lost it.

Credentials of the bus cannot be narrowed like a key's, so they end. A consumer that should outlive people is admitted
by a service account. Looked for again and again, so that it does not matter which instance changed the member.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from callboard.contracts.access import DismissConsumer
from callboard.contracts.problems import Problem
from callboard.kernel.permissions import actions_of
from callboard_authsvc.consumers.dependencies import ConsumerDependencies
from callboard_authsvc.consumers.dismiss import dismiss_consumer

log = structlog.get_logger()
EVERY_SECONDS: Final = 1.0


async def dismiss_orphans(use: ConsumerDependencies) -> None:
    """Each with an event that says why. Raises `bus.unavailable` when NATS does not take it now."""
    for consumer in await use.table.dependent():
        if "consumer:manage" not in actions_of(consumer.rights):
            command = DismissConsumer(
                command_id=f"{consumer.public_key}/orphaned",
                organisation=consumer.organisation,
                consumer=consumer.consumer,
                actor="callboard",
                comment="who admitted it may not admit consumers any more",
            )
            await dismiss_consumer(command, use)
            log.info("consumer_orphaned", organisation=consumer.organisation, consumer=consumer.consumer)


async def keep_dismissing(use: ConsumerDependencies) -> None:
    """Until cancelled."""
    while use.access.trusted:
        try:
            await dismiss_orphans(use)
        except Problem as problem:
            log.warning("orphans_not_dismissed_yet", code=problem.code)
        except Exception:
            # The top of a loop that must not end: somebody without the right would go on reading.
            log.exception("orphans_not_looked_for")
        await asyncio.sleep(EVERY_SECONDS)
