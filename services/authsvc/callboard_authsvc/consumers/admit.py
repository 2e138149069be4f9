"""Admit a consumer: durables and an account first, then the event and the row, the credentials in the answer only."""

from __future__ import annotations

from callboard.contracts import consumer_subjects
from callboard.contracts.access import AdmitConsumer, ConsumerAdmission
from callboard.contracts.problems import Problem
from callboard.platform.bus_identity import UserCredentials
from callboard.platform.event_store import Connection
from callboard_authsvc.consumers.dependencies import ConsumerDependencies
from callboard_authsvc.consumers.domain import (
    CONSUMER,
    Admit,
    ConsumerEvent,
    check,
    durables_of,
    exists,
    stream_of,
)


async def admit_consumer(command: AdmitConsumer, use: ConsumerDependencies) -> ConsumerAdmission:
    """Raises `organisation.unknown`, `argument.invalid`, `auth.forbidden`, `consumer.exists`, `bus.unavailable` (no
    streams yet), or `command.reused` for a second delivery.
    """
    use.access.require_trust()
    await use.organisations.require(command.organisation)
    check(command.consumer)
    principal = await use.rights.require(command.by, "consumer:manage", command.organisation)
    # An administrator of the installation is no member, and whom it admits depends on nobody.
    member = principal.member if principal is not None and principal.grants is not None else ""
    async with use.table.exclusive():
        return await _admit(command, member, use)


async def _admit(command: AdmitConsumer, member: str, use: ConsumerDependencies) -> ConsumerAdmission:
    if await use.journal.handled(command) is not None:
        raise _shown_before()
    if await use.table.is_active(command.organisation, command.consumer):
        raise exists(command.consumer)
    durables = durables_of(command.organisation, command.consumer)
    # Before the event: an admitted consumer has something to read and can get in. Durables and an account whose
    # credentials nobody has do no harm when the event fails.
    await use.access.make_durables(durables)
    credentials = use.access.mint(command.organisation, command.consumer)
    await use.access.open([(command.organisation, command.consumer, credentials.public_key)])
    await _record(command, member, credentials, use)
    return ConsumerAdmission(
        consumer=command.consumer,
        url=use.access.public_url,
        credentials=credentials.text,
        subjects=tuple(durable.subject for durable in durables),
        durables={durable.subject: (durable.stream, durable.name) for durable in durables},
        inbox_prefix=consumer_subjects.consumer_inbox(command.organisation, command.consumer),
    )


async def _record(command: AdmitConsumer, member: str, credentials: UserCredentials, use: ConsumerDependencies) -> None:
    async def insert(connection: Connection, events: tuple[ConsumerEvent, ...]) -> None:
        row = (command.organisation, command.consumer, credentials.public_key, use.clock())
        await use.table.insert(connection, *row, member)

    order = Admit(consumer=command.consumer, public_key=credentials.public_key)
    outcome = await use.journal.record(command, stream_of(command.consumer), CONSUMER, order, insert)
    if outcome.replayed:
        raise _shown_before()


def _shown_before() -> Problem:
    return Problem(
        "command.reused",
        "this command already admitted the consumer, and credentials are shown only once; "
        "dismiss it and admit it again with a new command id",
    )
