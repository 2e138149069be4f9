"""The projects of an organisation."""

from __future__ import annotations

from typing import cast

from callboard.contracts.people import AskProjects, ProjectLine, Projects
from callboard_authsvc.journal import Journal
from callboard_authsvc.organisations.known import KnownOrganisations
from callboard_authsvc.projects.domain import GROUPING, STREAM, ProjectEvent


async def list_projects(question: AskProjects, journal: Journal, organisations: KnownOrganisations) -> Projects:
    """By name, each with its playbooks. Raises `organisation.unknown`."""
    await organisations.require(question.organisation)
    past = await journal.read(question.organisation, STREAM)
    state = GROUPING.fold(cast("ProjectEvent", recorded.event) for recorded in past)
    lines = [ProjectLine(project=name, title=title, playbooks=state.playbooks(name))
             for name, title in sorted(state.titles.items())]  # fmt: skip
    return Projects(projects=tuple(lines))
