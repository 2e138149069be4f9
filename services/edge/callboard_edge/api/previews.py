"""What a client of a playbook sees, and why."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from litestar import get

from callboard.contracts import subjects
from callboard.contracts.calls import LEGACY, MODERN
from callboard.contracts.previews import AskExplanation, AskPreview, Explanation, Preview
from callboard.contracts.problems import Problem
from callboard.platform.bus import Bus
from callboard_edge.api.caller import Caller
from callboard_edge.api.names import Names

_ONE = "/organisations/{organisation:str}/playbooks/{name:str}"
_REVISIONS = {"2026": MODERN, "2025": LEGACY}
_SECONDS = 60.0
"""An old log may take its time to be folded."""


@get(_ONE + "/preview", summary="The lists that a client gets")
async def preview_playbook(
    bus: Bus,
    caller: Caller,
    names: Names,
    organisation: str,
    name: str,
    client: str,
    era: Literal["2026", "2025"] = "2026",
    version: int = 0,
    at: datetime | None = None,
) -> Preview:
    """Exactly what its list requests return, now or `at` a time, with the reason for each thing that is hidden."""
    caller.require("read", organisation, name)
    if at is not None and at.tzinfo is None:
        raise Problem("argument.invalid", "`at` needs its time zone, like 2026-11-20T14:05:00Z")
    question = AskPreview(
        organisation=organisation,
        playbook=name,
        client=await names.sealed(organisation, client),
        era=_REVISIONS[era],
        version=version,
        at=at,
    )
    return await bus.ask(subjects.PREVIEW, question, Preview, within=_SECONDS)


@get(_ONE + "/explain", summary="Why a tool is shown, hidden or renamed")
async def explain_tool(
    bus: Bus, caller: Caller, organisation: str, name: str, tool: str, version: int = 0
) -> Explanation:
    """Rule by rule; `tool` is the name that agents see, or the server's own."""
    caller.require("read", organisation, name)
    question = AskExplanation(organisation=organisation, playbook=name, tool=tool, version=version)
    return await bus.ask(subjects.EXPLAIN, question, Explanation)


ROUTES = [preview_playbook, explain_tool]
