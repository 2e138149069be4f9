"""Store a secret: the event and the sealed value in one transaction."""

from __future__ import annotations

from callboard.contracts.access import StoreSecret
from callboard.contracts.playbooks import Done
from callboard.contracts.vault_events import SecretStored
from callboard.platform.event_store import Connection
from callboard_authsvc.adapters.secret_table import SealedSecret
from callboard_authsvc.vault.data_keys import DataKey
from callboard_authsvc.vault.dependencies import VaultDependencies
from callboard_authsvc.vault.domain import SECRET, SecretEvent, Store, check, stream_of
from callboard_authsvc.vault.sealing import NONCE_BYTES, place_of_secret, seal


async def store_secret(command: StoreSecret, use: VaultDependencies) -> Done:
    """The value becomes the newest version. Raises `organisation.unknown` or `argument.invalid`."""
    await use.organisations.require(command.organisation)
    check(command.secret, command.value)
    data_key = await use.data_keys.ensured(command.organisation)

    async def insert(connection: Connection, events: tuple[SecretEvent, ...]) -> None:
        for stored in events:
            if isinstance(stored, SecretStored):
                row = _sealed(command, stored.version, data_key, use)
                await use.table.insert(connection, row)

    order = Store(secret=command.secret)
    recorded = use.fingerprint.without_value(command)
    outcome = await use.journal.record(recorded, stream_of(command.secret), SECRET, order, insert)
    return Done(seq=outcome.seq)


def _sealed(command: StoreSecret, version: int, data_key: DataKey, use: VaultDependencies) -> SealedSecret:
    nonce = use.chance(NONCE_BYTES)
    place = place_of_secret(command.organisation, command.secret, version)
    return SealedSecret(
        organisation=command.organisation,
        secret=command.secret,
        version=version,
        nonce=nonce,
        ciphertext=seal(data_key.key, nonce, command.value.encode(), place),
        stored_at=use.clock(),
        key_version=data_key.version,
    )
