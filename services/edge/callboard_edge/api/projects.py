"""Projects: playbooks in groups."""

from __future__ import annotations

import msgspec
from litestar import delete, get, post, put

from callboard.contracts import subjects
from callboard.contracts.people import AskProjects, AssignPlaybook, CreateProject, Projects, RemoveProject
from callboard.contracts.people_management import NewProject, ProjectOf
from callboard.contracts.playbooks import Done
from callboard.platform.bus import Bus
from callboard_edge.api.caller import Caller, Stamp

_ALL = "/organisations/{organisation:str}/projects"


@get(_ALL, summary="List projects")
async def list_projects(bus: Bus, caller: Caller, organisation: str) -> Projects:
    """By name, each with those of its playbooks that the token reaches."""
    caller.require("project:read", organisation, "")
    found = await bus.ask(subjects.PROJECTS, AskProjects(organisation=organisation), Projects)
    return Projects(
        projects=tuple(
            msgspec.structs.replace(line, playbooks=tuple(p for p in line.playbooks if caller.sees(p)))
            for line in found.projects
        )
    )


@post(_ALL, summary="Create a project", status_code=200)
async def create_project(bus: Bus, caller: Caller, stamp: Stamp, organisation: str, data: NewProject) -> Done:
    """One that exists gets the title."""
    caller.require("project:manage", organisation)
    command = CreateProject(
        command_id=stamp.command_id(data.command_id),
        organisation=organisation,
        project=data.project,
        title=data.title,
        actor=caller.actor,
    )
    return await bus.ask(subjects.CREATE_PROJECT, command, Done)


@delete(_ALL + "/{project:str}", summary="Dissolve a project", status_code=200)
async def remove_project(
    bus: Bus, caller: Caller, stamp: Stamp, organisation: str, project: str, comment: str = ""
) -> Done:
    """Its playbooks stay as they are."""
    caller.require("project:manage", organisation)
    command = RemoveProject(
        command_id=stamp.command_id(),
        organisation=organisation,
        project=project,
        comment=comment,
        actor=caller.actor,
    )
    return await bus.ask(subjects.REMOVE_PROJECT, command, Done)


@put("/organisations/{organisation:str}/playbooks/{name:str}/project", summary="Put a playbook into a project")
async def assign_playbook(
    bus: Bus, caller: Caller, stamp: Stamp, organisation: str, name: str, data: ProjectOf
) -> Done:
    """And out of the one it was in; an empty project means none."""
    caller.require("project:manage", organisation)
    command = AssignPlaybook(
        command_id=stamp.command_id(data.command_id),
        organisation=organisation,
        project=data.project,
        playbook=name,
        actor=caller.actor,
    )
    return await bus.ask(subjects.ASSIGN_PLAYBOOK, command, Done)


ROUTES = [list_projects, create_project, remove_project, assign_playbook]
