"""The projects of one organisation. A playbook belongs to one project at most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import msgspec

from callboard.contracts.people_events import (
    PlaybookAssigned,
    PlaybookUnassigned,
    ProjectCreated,
    ProjectRemoved,
    ProjectRetitled,
)
from callboard.contracts.problems import Problem
from callboard.kernel.decider import Decider
from callboard.kernel.names import is_slug

STREAM = "projects"
MAX_TITLE = 200


class Create(msgspec.Struct, frozen=True, kw_only=True):
    """Make a group, or title it otherwise."""

    project: str
    title: str = ""


class Assign(msgspec.Struct, frozen=True, kw_only=True):
    """Put a playbook into a group; into none with an empty one."""

    project: str
    playbook: str


class Remove(msgspec.Struct, frozen=True, kw_only=True):
    """Dissolve a group."""

    project: str


Order = Create | Assign | Remove
ProjectEvent = ProjectCreated | ProjectRetitled | PlaybookAssigned | PlaybookUnassigned | ProjectRemoved


class Grouping(msgspec.Struct, frozen=True):
    """Project -> title, and playbook -> its project."""

    titles: dict[str, str] = {}
    project_of: dict[str, str] = {}

    def playbooks(self, project: str) -> tuple[str, ...]:
        """What belongs to a project, by name."""
        return tuple(sorted(playbook for playbook, its in self.project_of.items() if its == project))


def decide(order: Order, state: Grouping) -> Sequence[ProjectEvent]:
    """What an order does to the groups."""
    match order:
        case Create():
            return _create(order, state)
        case Assign():
            return _assign(order, state)
        case Remove():
            if order.project not in state.titles:
                raise unknown(order.project)
            return (ProjectRemoved(project=order.project),)
        case _:
            assert_never(order)


def _create(order: Create, state: Grouping) -> Sequence[ProjectEvent]:
    _check_slug("project", order.project)
    if len(order.title) > MAX_TITLE or not order.title.isprintable():
        raise Problem("argument.invalid", f"title: use at most {MAX_TITLE} printable characters", argument="title")
    if order.project not in state.titles:
        return (ProjectCreated(project=order.project, title=order.title),)
    if state.titles[order.project] == order.title:
        return ()
    return (ProjectRetitled(project=order.project, title=order.title),)


def _assign(order: Assign, state: Grouping) -> Sequence[ProjectEvent]:
    _check_slug("playbook", order.playbook)
    if order.project and order.project not in state.titles:
        raise unknown(order.project)
    if state.project_of.get(order.playbook, "") == order.project:
        return ()
    if not order.project:
        return (PlaybookUnassigned(playbook=order.playbook),)
    return (PlaybookAssigned(project=order.project, playbook=order.playbook),)


def _check_slug(argument: str, name: str) -> None:
    if not is_slug(name):
        text = "use 1 to 63 of a-z, 0-9, _ and -, with a letter or digit at both ends"
        raise Problem("argument.invalid", f"{argument}: {text}", argument=argument)


def unknown(project: str) -> Problem:
    """No project of this organisation is called so."""
    return Problem("project.unknown", f"there is no project {project[:80]!r} in this organisation")


def evolve(state: Grouping, event: ProjectEvent) -> Grouping:
    """Which groups there are, and what is in them."""
    titles, project_of = dict(state.titles), dict(state.project_of)
    match event:
        case ProjectCreated() | ProjectRetitled():
            titles[event.project] = event.title
        case PlaybookAssigned():
            project_of[event.playbook] = event.project
        case PlaybookUnassigned():
            project_of.pop(event.playbook, None)
        case ProjectRemoved():
            titles.pop(event.project, None)
            project_of = {playbook: its for playbook, its in project_of.items() if its != event.project}
        case _:
            assert_never(event)
    return Grouping(titles, project_of)


GROUPING = Decider[Order, Grouping, ProjectEvent](Grouping(), decide, evolve)
