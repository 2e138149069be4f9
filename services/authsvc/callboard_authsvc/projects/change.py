"""Change the groups of an organisation."""

from __future__ import annotations

from callboard.contracts.people import AssignPlaybook, CreateProject, RemoveProject
from callboard.contracts.playbooks import Done
from callboard_authsvc.journal import Journal
from callboard_authsvc.organisations.known import KnownOrganisations
from callboard_authsvc.projects.domain import GROUPING, STREAM, Assign, Create, Order, Remove

ProjectCommand = CreateProject | AssignPlaybook | RemoveProject


async def change_projects(command: ProjectCommand, journal: Journal, organisations: KnownOrganisations) -> Done:
    """Raises `organisation.unknown`, `argument.invalid` or `project.unknown`. Nothing to change: seq 0."""
    await organisations.require(command.organisation)
    outcome = await journal.record(command, STREAM, GROUPING, _order(command))
    return Done(seq=outcome.seq)


def _order(command: ProjectCommand) -> Order:
    match command:
        case CreateProject():
            return Create(project=command.project, title=command.title)
        case AssignPlaybook():
            return Assign(project=command.project, playbook=command.playbook)
        case RemoveProject():
            return Remove(project=command.project)
