"""Apply a Callboard file through the API; what the router refuses is told with the line it stands at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from callboard.client.management import Callboard
from callboard.contracts.playbooks import Applied, PlannedChange
from callboard.contracts.problems import Problem
from callboard.kernel.playbook_file import FileRefused, LineFault, PlaybookFile


def apply_file(
    callboard: Callboard,
    wanted: PlaybookFile,
    name: str,
    comment: str,
    *,
    dry_run: bool = False,
    prune: bool = False,
    accept_drift: bool = False,
    say: Callable[[str], None],
) -> Applied:
    """Apply a parsed file, making its organisation first; raises `FileRefused`, `Problem` or `Unreachable`."""
    organisation = wanted.organisation
    if not any(line.organisation == organisation for line in callboard.organisations().organisations):
        if dry_run:
            say(f"organisation {organisation} does not exist yet and would be created")
            return _all_new(wanted)
        callboard.create_organisation(organisation)
        say(f"created organisation {organisation}")
    try:
        return callboard.apply(
            organisation,
            wanted.servers,
            wanted.playbooks,
            comment,
            dry_run=dry_run,
            prune=prune,
            accept_drift=accept_drift,
        )
    except Problem as problem:
        faults = list(_faults(problem, wanted))
        if not faults:
            raise
        raise FileRefused(name, faults) from None


def _faults(problem: Problem, wanted: PlaybookFile) -> Iterator[LineFault]:
    """Each fault with its line; a problem without a place in the file has none."""
    listed = problem.data.get("faults")
    entries: list[Any] = listed if isinstance(listed, list) else [{**problem.data, "message": problem.message}]
    for entry in entries:
        path = _path_of(entry.get("path")) if isinstance(entry, dict) else None
        if path is not None:
            yield LineFault(wanted.line_of(path), f"{entry.get('message', problem.message)} ({problem.code})")


def _path_of(path: Any) -> tuple[str, ...] | None:
    if isinstance(path, str) and path:
        return tuple(path.split("."))
    return tuple(str(step) for step in path) if isinstance(path, list | tuple) else None


def _all_new(wanted: PlaybookFile) -> Applied:
    plan = [PlannedChange(subject=f"server {name}", action="register") for name in wanted.servers]
    plan += [PlannedChange(subject=f"playbook {name}", action="publish", version=1) for name in wanted.playbooks]
    return Applied(organisation=wanted.organisation, plan=tuple(plan), changed=True)
