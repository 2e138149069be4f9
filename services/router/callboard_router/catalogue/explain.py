"""By which rules a playbook shows, hides or renames a tool, and where they stand. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from callboard.contracts.definitions import PlaybookServer
from callboard.contracts.previews import ExplainedTool, Hidden, Rule
from callboard.kernel.names import prefix_of, wire_name
from callboard_router.catalogue.compiled import CompiledPlaybook
from callboard_router.catalogue.domain import Entry, filter_rule


def explain(compiled: CompiledPlaybook, tool: str) -> tuple[ExplainedTool, ...]:
    """Every tool that agents or its server know by this name; nothing when there is none."""
    return (*_shown(compiled, tool), *_hidden(compiled, tool))


def _shown(compiled: CompiledPlaybook, tool: str) -> Iterator[ExplainedTool]:
    for entry in compiled.exposure.tools.values():
        if tool in (entry.wire, entry.item.name):
            rules = tuple(_naming(compiled, entry.server, entry.item.name, entry))
            yield ExplainedTool(name=entry.wire, server=entry.server, upstream_name=entry.item.name, rules=rules)


def _hidden(compiled: CompiledPlaybook, tool: str) -> Iterator[ExplainedTool]:
    for hidden in compiled.exposure.hidden:
        if hidden.kind == "tool" and tool in (hidden.name, _would_be(compiled, hidden)):
            named = _naming(compiled, hidden.server, hidden.name) if hidden.reason == "collision" else ()
            reason = Rule(where=_where(compiled, hidden), effect=_effect(hidden))
            yield ExplainedTool(
                name="",
                server=hidden.server,
                upstream_name=hidden.name,
                rules=(*named, reason),
                hidden=hidden.reason,
            )


def _would_be(compiled: CompiledPlaybook, hidden: Hidden) -> str:
    use = compiled.definition.servers[hidden.server]
    return wire_name(prefix_of(hidden.server, use.names), use.tools.rename.get(hidden.name, hidden.name))


def _where(compiled: CompiledPlaybook, hidden: Hidden) -> str:
    in_file = hidden.reason in ("denied", "not_allowed")
    return f"playbooks.{compiled.name}.{hidden.rule.partition(':')[0]}" if in_file else ""


def _effect(hidden: Hidden) -> str:
    match hidden.reason:
        case "denied":
            return f"hidden by the pattern {hidden.rule.partition(': ')[2]}"
        case "not_allowed":
            return "hidden: none of its patterns has this tool"
        case _:
            return f"hidden ({hidden.reason}): {hidden.rule}"


def _naming(compiled: CompiledPlaybook, server: str, name: str, entry: Entry | None = None) -> Iterator[Rule]:
    """The rules that let a tool through and gave it its name and description."""
    use = compiled.definition.servers[server]
    base = f"playbooks.{compiled.name}.servers.{server}"
    _, rule = filter_rule(server, name, use)
    where, _, pattern = rule.partition(": ")
    let = f"shown by the pattern {pattern}" if pattern else "shown: no allow-list, and no pattern of deny has it"
    yield Rule(where=f"playbooks.{compiled.name}.{where}" if pattern else f"{base}.tools", effect=let)
    if name in use.tools.rename:
        yield Rule(where=f"{base}.tools.rename.{name}", effect=f"renamed to {use.tools.rename[name]}")
    yield from _prefixing(base, server, use, use.tools.rename.get(name, name))
    if entry is not None and entry.description is not None:
        yield Rule(where=f"{base}.tools.describe.{name}", effect="described in the playbook's words")


def _prefixing(base: str, server: str, use: PlaybookServer, shown: str) -> Iterator[Rule]:
    prefix = prefix_of(server, use.names)
    if prefix:
        yield Rule(where=f"{base}.names", effect=f"{use.names}: begins with {prefix}")
    if wire_name(prefix, shown) != prefix + shown:
        yield Rule(where="", effect=f"{prefix}{shown} is over 64 characters, so its end is a hash of the whole")
