"""Playbooks and their versions."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import delete, get, post
from litestar.params import Parameter

from callboard.contracts import subjects
from callboard.contracts.management import Import, RollBack
from callboard.contracts.playbooks import (
    Done,
    ExportedPlaybook,
    ImportedPlaybook,
    ImportPlaybook,
    RetirePlaybook,
    RollBackPlaybook,
    RolledBack,
)
from callboard.contracts.problems import Problem
from callboard.contracts.records import (
    AskDiff,
    AskExport,
    AskHistory,
    AskPlaybooks,
    AskVersion,
    Diff,
    Exported,
    History,
    Playbooks,
    Version,
)
from callboard.platform.bus import Bus
from callboard_edge.api.caller import Caller, Stamp
from callboard_edge.api.names import AS_STORED

_ALL = "/organisations/{organisation:str}/playbooks"
_ONE = _ALL + "/{name:str}"
Days = Annotated[int, Parameter(ge=0, le=366)]


@get(_ALL, summary="List playbooks")
async def list_playbooks(bus: Bus, caller: Caller, organisation: str) -> Playbooks:
    """Those that the token reaches, retired ones included."""
    caller.require("read", organisation, "")
    found = await bus.ask(subjects.PLAYBOOKS, AskPlaybooks(organisation=organisation), Playbooks)
    return msgspec.structs.replace(found, playbooks=tuple(p for p in found.playbooks if caller.sees(p.playbook)))


@get(_ONE + "/versions", summary="History of a playbook")
async def playbook_history(bus: Bus, caller: Caller, organisation: str, name: str) -> History:
    """Every version, newest first: who, why, when."""
    caller.require("read", organisation, name)
    return await bus.ask(subjects.HISTORY, AskHistory(organisation=organisation, playbook=name), History)


@get(_ONE + "/versions/{number:int}", summary="One version of a playbook")
async def playbook_version(
    bus: Bus, caller: Caller, organisation: str, name: str, number: int, at: datetime | None = None
) -> Version:
    """The whole version; number 0 is the current one, or the one that was current `at` a time."""
    caller.require("read", organisation, name)
    if at is not None and at.tzinfo is None:
        raise Problem("argument.invalid", "`at` needs its time zone, like 2026-11-20T14:05:00Z")
    question = AskVersion(organisation=organisation, playbook=name, version=number, at=at)
    return await bus.ask(subjects.VERSION, question, Version)


@get(_ONE + "/diff", summary="What changes between two versions")
async def playbook_diff(
    bus: Bus, caller: Caller, organisation: str, name: str, before: int, after: int, days: Days = 7
) -> Diff:
    """Line by line, with who would notice: the callers of the last `days`."""
    caller.require("read", organisation, name)
    question = AskDiff(organisation=organisation, playbook=name, before=before, after=after, days=days)
    return await bus.ask(subjects.DIFF, question, Diff)


@post(_ONE + "/rollback", summary="Publish an old version's content again", status_code=200)
async def roll_back_playbook(
    bus: Bus, caller: Caller, stamp: Stamp, organisation: str, name: str, data: RollBack
) -> RolledBack:
    """The content of version `to` becomes the next version; nothing is deleted. A dry run only says what would be."""
    caller.require("playbook:roll_back", organisation, name)
    command = RollBackPlaybook(
        command_id=stamp.command_id(data.command_id),
        organisation=organisation,
        playbook=name,
        to=data.to,
        comment=data.comment,
        actor=caller.actor,
        expected=data.expected,
        dry_run=data.dry_run,
    )
    return await bus.ask(subjects.ROLL_BACK, command, RolledBack)


@get(_ONE + "/export", summary="A playbook with its whole history", opt=AS_STORED)
async def export_playbook(bus: Bus, caller: Caller, organisation: str, name: str) -> ExportedPlaybook:
    """One document, which another installation can import and verify."""
    caller.require("read", organisation, name)
    question = AskExport(organisation=organisation, playbook=name)
    return (await bus.ask(subjects.EXPORT_PLAYBOOK, question, Exported, within=60.0)).exported


@post(_ONE + "/import", summary="Import a playbook with its history", status_code=200)
async def import_playbook(
    bus: Bus, caller: Caller, stamp: Stamp, organisation: str, name: str, data: Import
) -> ImportedPlaybook:
    """Under a name that never was one here; what does not have its digest is refused."""
    caller.require("playbook:publish", organisation)
    command = ImportPlaybook(
        command_id=stamp.command_id(data.command_id),
        organisation=organisation,
        playbook=name,
        exported=data.exported,
        register_servers=data.register_servers,
        comment=data.comment,
        actor=caller.actor,
    )
    return await bus.ask(subjects.IMPORT_PLAYBOOK, command, ImportedPlaybook, within=60.0)


@delete(_ONE, summary="Stop serving a playbook", status_code=200)
async def retire_playbook(bus: Bus, caller: Caller, stamp: Stamp, organisation: str, name: str, comment: str) -> Done:
    """Its versions stay readable."""
    caller.require("playbook:publish", organisation, name)
    command = RetirePlaybook(
        command_id=stamp.command_id(),
        organisation=organisation,
        playbook=name,
        comment=comment,
        actor=caller.actor,
    )
    return await bus.ask(subjects.RETIRE_PLAYBOOK, command, Done)


ROUTES = [
    list_playbooks,
    playbook_history,
    playbook_version,
    playbook_diff,
    roll_back_playbook,
    export_playbook,
    import_playbook,
    retire_playbook,
]
