"""Open secrets for a connector, which uses the values and does not keep them."""

from __future__ import annotations

from callboard.contracts.access import OpenedSecrets, OpenSecrets
from callboard.contracts.problems import Problem
from callboard_authsvc.adapters.secret_table import SealedSecret
from callboard_authsvc.vault.dependencies import VaultDependencies
from callboard_authsvc.vault.domain import is_name, unknown
from callboard_authsvc.vault.sealing import NotOpened, open_sealed, place_of_secret


async def open_secrets(question: OpenSecrets, use: VaultDependencies) -> OpenedSecrets:
    """The newest version of each. All or none: raises `secret.unknown` naming every one that is missing."""
    names = set(question.secrets)
    rows = await use.table.newest(question.organisation, sorted(name for name in names if is_name(name)))
    if missing := names - {row.secret for row in rows}:
        raise unknown(missing)
    return OpenedSecrets(values={row.secret: (await opened(row, use)).decode() for row in rows})


async def open_one(organisation: str, secret: str, use: VaultDependencies) -> str:
    """The newest version of one; raises as `open_secrets` does."""
    opened = await open_secrets(OpenSecrets(organisation=organisation, secrets=(secret,)), use)
    return opened.values[secret]


async def opened(row: SealedSecret, use: VaultDependencies) -> bytes:
    """The value of a row; raises `secret.unreadable`."""
    place = place_of_secret(row.organisation, row.secret, row.version)
    data_key = await use.data_keys.existing(row.organisation, row.key_version)
    try:
        if data_key is None:
            raise NotOpened
        return open_sealed(data_key.key, row.nonce, row.ciphertext, place)
    except NotOpened:
        message = f"secret {row.secret} does not open with the data key of {row.organisation}"
        raise Problem("secret.unreadable", message) from None
