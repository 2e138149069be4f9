"""The secrets of webhooks: versions in the organisation's vault, so they are sealed, rotated and shredded with it."""

from __future__ import annotations

from callboard.kernel.webhook_signatures import key_of
from callboard.platform.event_store import Connection
from callboard_authsvc.adapters.secret_table import SealedSecret
from callboard_authsvc.vault.open import opened
from callboard_authsvc.vault.sealing import NONCE_BYTES, place_of_secret, seal
from callboard_authsvc.webhooks.dependencies import WebhookDependencies
from callboard_authsvc.webhooks.domain import KEY_BYTES, new_secret, secret_of


async def add_secret(connection: Connection, organisation: str, webhook: str, use: WebhookDependencies) -> str:
    """Make another one in the caller's transaction; the one before it stays, older ones go."""
    vault, name, value = use.vault, secret_of(webhook), new_secret(use.vault.chance(KEY_BYTES))
    key = await vault.data_keys.ensured(organisation)
    version = await use.table.next_secret(connection, organisation, name)
    nonce = vault.chance(NONCE_BYTES)
    row = SealedSecret(
        organisation=organisation,
        secret=name,
        version=version,
        nonce=nonce,
        ciphertext=seal(key.key, nonce, value.encode(), place_of_secret(organisation, name, version)),
        stored_at=vault.clock(),
        key_version=key.version,
    )
    await vault.table.insert(connection, row)
    await use.table.forget_secrets(connection, organisation, name, version - 1)
    return value


async def signing_keys(organisation: str, webhook: str, both: bool, use: WebhookDependencies) -> list[bytes]:
    """The newest key, and the one before it while both sign. Raises `secret.unreadable`."""
    rows = await use.table.secrets(organisation, secret_of(webhook), 2 if both else 1)
    return [key_of((await opened(row, use.vault)).decode()) for row in rows]
