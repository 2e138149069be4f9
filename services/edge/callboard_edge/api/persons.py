"""Persons of an organisation: who is known, and erasing."""

from __future__ import annotations

from litestar import get, post

from callboard.contracts import subjects
from callboard.contracts.management import Comment
from callboard.contracts.personal import AskPersons, ErasePerson, Persons
from callboard.contracts.playbooks import Done
from callboard.platform.bus import Bus
from callboard_edge.api.caller import Caller, Stamp
from callboard_edge.api.names import Names

_PERSONS = "/organisations/{organisation:str}/persons"


@get(_PERSONS, summary="List persons")
async def list_persons(bus: Bus, caller: Caller, organisation: str) -> Persons:
    """Those who have or had a token of their own, erased ones by their id only."""
    caller.require("read", organisation)
    return await bus.ask(subjects.PERSONS, AskPersons(organisation=organisation), Persons)


@post(_PERSONS + "/{person:str}/erase", summary="Erase a person", status_code=200)
async def erase_person(
    bus: Bus, caller: Caller, stamp: Stamp, names: Names, organisation: str, person: str, data: Comment
) -> Done:
    """By id, name, or the e-mail address of a member: for good. `seq` 0: that has happened before."""
    caller.require("member:manage", organisation)
    command = ErasePerson(
        command_id=stamp.command_id(data.command_id),
        organisation=organisation,
        person=person,
        comment=data.comment,
        actor=caller.actor,
        by=caller.by,
    )
    done = await bus.ask(subjects.ERASE_PERSON, command, Done)
    names.forget()
    return done


ROUTES = [list_persons, erase_person]
