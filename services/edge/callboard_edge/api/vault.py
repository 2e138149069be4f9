"""The keys of an organisation's vault."""

from __future__ import annotations

from litestar import delete, post

from callboard.contracts import subjects
from callboard.contracts.playbooks import Done
from callboard.contracts.vault import RotateDataKey, ShredVault
from callboard.platform.bus import Bus
from callboard_edge.api.caller import Caller, Stamp

_VAULT = "/organisations/{organisation:str}/vault"
_WITHIN = 60.0


@post(_VAULT + "/rotation", summary="Seal the vault under a new data key", status_code=200)
async def rotate_data_key(bus: Bus, caller: Caller, stamp: Stamp, organisation: str) -> Done:
    """Answers when all is sealed again; nothing is unreadable meanwhile."""
    caller.require("manage", organisation)
    command = RotateDataKey(command_id=stamp.command_id(), organisation=organisation, actor=caller.actor)
    return await bus.ask(subjects.ROTATE_DATA_KEY, command, Done, _WITHIN)


@delete(_VAULT, summary="Destroy the vault's keys, and all that is sealed under them", status_code=200)
async def shred_vault(bus: Bus, caller: Caller, stamp: Stamp, organisation: str, comment: str) -> Done:
    """Only an administrator of the installation. Copies of the vault in backups stay closed too."""
    caller.require_administrator()
    command = ShredVault(command_id=stamp.command_id(), organisation=organisation, comment=comment, actor=caller.actor)
    return await bus.ask(subjects.SHRED_VAULT, command, Done, _WITHIN)


ROUTES = [rotate_data_key, shred_vault]
