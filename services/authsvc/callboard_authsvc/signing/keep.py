"""The set of signing keys: asked for, kept up with time, rotated by an administrator. The log decides, rows follow."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from callboard.contracts import signing_subjects as subjects
from callboard.contracts.layers import SYSTEM
from callboard.contracts.problems import Problem
from callboard.contracts.signing import RotateSigningKey, SigningKeys, SigningKeysChanged
from callboard.contracts.signing_events import SigningKeyPublished, SigningKeyRemoved
from callboard.platform.event_store import Connection, new_id
from callboard_authsvc.signing.dependencies import SigningDependencies
from callboard_authsvc.signing.domain import SIGNING_KEYS, STREAM, Keep, KeepSigningKeys, Key, KeyEvent, Order, Rotate
from callboard_authsvc.signing.material import KeyRow, Made, line_of, make, place_of_signing_key
from callboard_authsvc.vault.sealing import NotOpened

log = structlog.get_logger()
UPKEEP_SECONDS: Final = 60.0


async def list_signing_keys(use: SigningDependencies) -> SigningKeys:
    """The public set, the oldest first."""
    return SigningKeys(keys=tuple(line_of(row, key) for key, row in await use.table.all()))


async def rotate_signing_key(command: RotateSigningKey, use: SigningDependencies) -> SigningKeys:
    """Raises `comment.required` when all tokens are to be refused without a reason."""
    if command.organisation != SYSTEM:
        raise Problem("argument.invalid", "signing keys belong to the installation", argument="organisation")
    if command.at_once and not command.comment:
        raise Problem("comment.required", "refusing all access tokens needs a reason")
    made = _made(use)
    await _record(command, Rotate(at=use.clock(), fresh=made.fresh, at_once=command.at_once), made, use)
    return await list_signing_keys(use)


async def keep_signing_keys(use: SigningDependencies) -> None:
    """Do what is due by now; of several instances one does."""
    made = _made(use)
    await _record(KeepSigningKeys(command_id=new_id()), Keep(at=use.clock(), fresh=made.fresh), made, use)


async def _record(
    command: RotateSigningKey | KeepSigningKeys, order: Order, made: Made, use: SigningDependencies
) -> None:
    place = place_of_signing_key(made.fresh.kid)
    wrapped = await use.keys.wrap(made.private, place)
    row = KeyRow(kid=made.fresh.kid, x=made.x, y=made.y, kek_id=use.keys.current(), wrapped=wrapped)

    async def change(connection: Connection, events: tuple[KeyEvent, ...]) -> None:
        for event in events:
            match event:
                case SigningKeyPublished():
                    await use.table.insert(connection, Key(event.kid, event.signs_from), row)
                case SigningKeyRemoved():
                    await use.table.delete(connection, event.kid)

    outcome = await use.journal.record(command, STREAM, SIGNING_KEYS, order, change)
    if outcome.events:
        log.info("signing_keys_changed", events=len(outcome.events))
        await use.bus.tell(subjects.SIGNING_KEYS_CHANGED, SigningKeysChanged())


def _made(use: SigningDependencies) -> Made:
    return make(f"{use.clock():%Y-%m-%d}-{use.chance(4).hex()}")


class SigningUpkeep:
    """Now and then what is due; the keys that others wrap are wrapped anew with `rewrap`."""

    def __init__(self, use: SigningDependencies) -> None:
        self._use = use

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(UPKEEP_SECONDS)
            try:
                await keep_signing_keys(self._use)
                await self.rewrap()
            except Problem as problem:
                log.warning("signing_upkeep_failed", code=problem.code)

    async def rewrap(self) -> int:
        """Wrap every key under the key-encryption key of now; how many were wrapped under another one."""
        current = self._use.keys.current()
        rows = [row for _, row in await self._use.table.all() if row.kek_id != current]
        for row in rows:
            place = place_of_signing_key(row.kid)
            try:
                private = await self._use.keys.unwrap(row.kek_id, row.wrapped, place)
            except NotOpened:
                continue  # it stays as it is, and whoever needs it is told
            await self._use.table.rewrap(row, current, await self._use.keys.wrap(private, place))
        return len(rows)
