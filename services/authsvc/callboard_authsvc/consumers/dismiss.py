"""Dismiss a consumer: the event and the row, then the connection is cut and its durables go."""

from __future__ import annotations

from callboard.contracts.access import DismissConsumer
from callboard.contracts.playbooks import Done
from callboard.platform.event_store import Connection
from callboard_authsvc.consumers.dependencies import ConsumerDependencies
from callboard_authsvc.consumers.domain import CONSUMER, ConsumerEvent, Dismiss, check, stream_of


async def dismiss_consumer(command: DismissConsumer, use: ConsumerDependencies) -> Done:
    """When it answers, NATS has cut the consumer off. Raises `organisation.unknown`, `consumer.unknown`, or
    `bus.unavailable` when NATS does not take it now: it is then tried until it does.
    """
    use.access.require_trust()
    await use.organisations.require(command.organisation)
    check(command.consumer)
    async with use.table.exclusive():
        seq = await _record(command, use)
        # Also for a second delivery: the caller may be here again because the cut failed.
        await use.upkeep.cut_off(command.organisation, command.consumer)
    return Done(seq=seq)


async def _record(command: DismissConsumer, use: ConsumerDependencies) -> int:
    async def mark(connection: Connection, events: tuple[ConsumerEvent, ...]) -> None:
        await use.table.dismiss(connection, command.organisation, command.consumer, use.clock())

    order = Dismiss(consumer=command.consumer)
    outcome = await use.journal.record(command, stream_of(command.consumer), CONSUMER, order, mark)
    return outcome.seq
