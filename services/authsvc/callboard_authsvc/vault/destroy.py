"""Destroy a secret: every version of it, in the transaction of the event."""

from __future__ import annotations

from callboard.contracts.access import DestroySecret
from callboard.contracts.playbooks import Done
from callboard.platform.event_store import Connection
from callboard_authsvc.vault.dependencies import VaultDependencies
from callboard_authsvc.vault.domain import SECRET, Destroy, SecretEvent, is_name, stream_of, unknown


async def destroy_secret(command: DestroySecret, use: VaultDependencies) -> Done:
    """Raises `organisation.unknown` or `secret.unknown`."""
    await use.organisations.require(command.organisation)
    if not is_name(command.secret):
        raise unknown([command.secret])

    async def delete(connection: Connection, events: tuple[SecretEvent, ...]) -> None:
        await use.table.delete(connection, command.organisation, command.secret)

    order = Destroy(secret=command.secret)
    outcome = await use.journal.record(command, stream_of(command.secret), SECRET, order, delete)
    return Done(seq=outcome.seq)
