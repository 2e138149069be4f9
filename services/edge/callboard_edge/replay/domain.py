"""Which recorded calls may run again, and what of their result is another one; pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from callboard.contracts.calls import MODERN, CallRecord
from callboard.contracts.problems import Problem
from callboard.kernel.param_headers import PREFIX, header_map, param_headers


class Tool(msgspec.Struct, frozen=True):
    """What a replay must know of a tool of the other version."""

    name: str
    annotations: dict[str, Any] | None = None
    inputSchema: Any = None


def recorded_arguments(record: CallRecord) -> Any:
    """The arguments of a call that can run again; raises `call.not_replayable`, which says why it cannot."""
    if record.method != "tools/call":
        raise _not(record, f"it is no tool call but {record.method}")
    if record.outcome == "refused":
        raise _not(record, f"it was refused and never ran ({record.problem})")
    if record.replay_of:
        raise _not(record, f"it is itself a replay, of call {record.replay_of}")
    content = record.content
    if content is None or ("arguments" not in content.omitted and content.arguments is None):
        raise _not(record, f"its arguments were not recorded: {record.playbook}@{record.version} keeps none")
    if "arguments" in content.omitted:
        raise _not(record, "its arguments were too large to be recorded")
    taken = [place for place in content.redacted if place.startswith("/arguments")]
    if taken:
        raise _not(record, f"its arguments were redacted at {', '.join(taken)}")
    return content.arguments


def check_safe(record: CallRecord, tool: Tool, unsafe: Collection[str]) -> None:
    """Refuse a tool that may change something, unless it was named."""
    if not (tool.annotations or {}).get("readOnlyHint") and tool.name not in unsafe:
        raise _not(record, f"tool {tool.name} is not marked read-only; --unsafe {tool.name} runs it anyway")


def mirrored(record: CallRecord, tool: Tool, arguments: Any) -> dict[str, str] | None:
    """What a client of the stateless era would repeat of the arguments in `Mcp-Param-*` headers."""
    if record.era != MODERN or not (paths := header_map(tool.inputSchema)):
        return None
    headers = param_headers(paths, msgspec.Raw(msgspec.json.encode(arguments)))
    return {name.removeprefix(PREFIX).lower(): value for name, value in headers.items()}


def _not(record: CallRecord, why: str) -> Problem:
    return Problem("call.not_replayable", f"call {record.call_id} cannot run again: {why}", call_id=record.call_id)
