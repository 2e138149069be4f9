"""Another data key: new values are sealed under it from the commit on, and the old ones are sealed again.

Every version stays until nothing is sealed under it, and some time longer for whoever was sealing at that moment, so
that nothing is unreadable in between. What an interruption leaves is taken up by `VaultUpkeep`.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog

from callboard.contracts.playbooks import Done
from callboard.contracts.problems import Problem
from callboard.contracts.vault import RotateDataKey, ShredVault
from callboard.contracts.vault_events import VaultKeyRotated, VaultShredded
from callboard.platform.event_store import Connection
from callboard_authsvc.adapters.grant_table import GrantTable
from callboard_authsvc.vault.dependencies import VaultDependencies
from callboard_authsvc.vault.domain import KEYS, STREAM, KeyEvent, Rotate, Shred
from callboard_authsvc.vault.open import opened
from callboard_authsvc.vault.sealing import NONCE_BYTES, place_of_secret, seal

log = structlog.get_logger()
UPKEEP_SECONDS = 600.0


async def rotate_data_key(command: RotateDataKey, use: VaultDependencies, grants: GrantTable) -> Done:
    """Raises `organisation.unknown`."""
    await use.organisations.require(command.organisation)
    await use.data_keys.ensured(command.organisation)

    async def replace(connection: Connection, events: tuple[KeyEvent, ...]) -> None:
        for event in events:
            if isinstance(event, VaultKeyRotated):
                row = await use.data_keys.new(command.organisation, event.version)
                await use.table.replace_data_key(connection, row)

    outcome = await use.journal.record(command, STREAM, KEYS, Rotate(), replace)
    await reseal(command.organisation, use, grants)
    return Done(seq=outcome.seq)


async def shred_vault(command: ShredVault, use: VaultDependencies) -> Done:
    """Delete the keys, and what they sealed: copies of it in backups stay closed for ever."""
    await use.organisations.require(command.organisation)
    if not command.comment:
        raise Problem("comment.required", "shredding a vault needs a reason")

    async def delete(connection: Connection, events: tuple[KeyEvent, ...]) -> None:
        if any(isinstance(event, VaultShredded) for event in events):
            await use.table.shred(connection, command.organisation)

    outcome = await use.journal.record(command, STREAM, KEYS, Shred(), delete)
    return Done(seq=outcome.seq)


async def reseal(organisation: str, use: VaultDependencies, grants: GrantTable) -> None:
    """Seal everything that is sealed under an older key under the newest one, and drop keys nothing needs."""
    newest = await use.data_keys.existing(organisation)
    if newest is None:
        return
    while rows := await use.table.secrets_to_reseal(organisation, newest.version):
        for row in rows:
            value = await opened(row, use)
            nonce = use.chance(NONCE_BYTES)
            place = place_of_secret(organisation, row.secret, row.version)
            await use.table.reseal(row, nonce, seal(newest.key, nonce, value, place), newest.version)
    while await grants.reseal(organisation, newest.version):
        pass
    await use.table.drop_unused_keys(organisation)


class Wrapped(Protocol):
    """Keys that a key-encryption key wraps."""

    async def rewrap(self) -> int:
        """Wrap all of them under the one of now; how many were wrapped under another one."""


class VaultUpkeep:
    """Now and then: wrap keys under the key-encryption key of now, and finish rotations. `others`: keys of others."""

    def __init__(self, use: VaultDependencies, grants: GrantTable, others: Wrapped) -> None:
        self._use = use
        self._grants = grants
        self._wrapped = (use.data_keys, others)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.once()
            except Problem as problem:
                log.warning("vault_upkeep_failed", code=problem.code)
            await asyncio.sleep(UPKEEP_SECONDS)

    async def once(self) -> None:
        """One round."""
        if moved := sum([await keys.rewrap() for keys in self._wrapped]):
            log.info("keys_rewrapped", keys=moved)
        for organisation in await self._use.table.organisations_with_old_keys():
            await reseal(organisation, self._use, self._grants)
