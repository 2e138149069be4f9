"""What a caller of a playbook would see, and by which rules: asked of the router, which answers real callers."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

HiddenReason = Literal[
    "denied", "not_allowed", "disabled", "not_reached", "quarantined", "collision", "held", "left_out", "policy"
]


class Hidden(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a playbook does not show. `name` is its server's own; `rule` says where the reason stands.

    A "server" that is disabled or was not reached hides all that it has. `rule` is a path in the file, like
    `servers.git.tools.deny`, or a sentence where no rule of the playbook is the reason.
    """

    kind: Literal["tool", "prompt", "resource", "template", "server"]
    server: str
    name: str
    reason: HiddenReason
    rule: str


class AskPreview(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.preview?", tag_field="type"):
    """The lists of a playbook as this client gets them, now or `at` a time; `version` 0: as the plain URL serves it.

    `era` is a revision of MCP, like 2026-07-28.
    """

    organisation: str
    playbook: str
    client: str
    era: str
    version: int = 0
    at: datetime | None = None


class Preview(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.preview", tag_field="type"):
    """Answer to `AskPreview`. `seq` is the position of the log that it is of.

    `lists`: method (`tools/list`, …) -> the raw `result` of each page, in order.
    """

    organisation: str
    playbook: str
    version: int
    current: int
    client: str
    era: str
    seq: int
    lists: dict[str, tuple[msgspec.Raw, ...]]
    hidden: tuple[Hidden, ...]


class AskExplanation(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.explanation?", tag_field="type"):
    """Why a tool, prompt or resource is shown, hidden or renamed; `tool` is the name (or URI) that agents see, or its
    server's own."""

    organisation: str
    playbook: str
    tool: str
    version: int = 0


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule that concerns a tool: where it stands (a path in the file; empty: not there) and its effect."""

    where: str
    effect: str


class ExplainedTool(msgspec.Struct, frozen=True, kw_only=True):
    """One tool of one server: the name that agents see (empty when it is hidden), and every rule that made it so."""

    name: str
    server: str
    upstream_name: str
    rules: tuple[Rule, ...]
    hidden: HiddenReason | None = None


class ExplainedThing(msgspec.Struct, frozen=True, kw_only=True):
    """One prompt or resource: where it comes from (a server, or the playbook or a layer that stores it), and why.

    `layer` is "" for the playbook itself, "system", "organisation" or "project NAME"; `shadows` are the broader ones
    that have something under the same name.
    """

    kind: Literal["prompt", "resource", "template"]
    name: str
    server: str
    layer: str
    shadows: tuple[str, ...]
    rules: tuple[Rule, ...]
    hidden: HiddenReason | None = None


class Explanation(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.explanation", tag_field="type"):
    """Answer to `AskExplanation`: everything that has this name, here or at its server.

    `outdated`: the layers that have changed since this version was published, when it is the current one.
    """

    playbook: str
    version: int
    tools: tuple[ExplainedTool, ...]
    things: tuple[ExplainedThing, ...] = ()
    outdated: tuple[str, ...] = ()
