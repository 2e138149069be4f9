"""By which rules a playbook shows, hides or renames a thing, and where they stand. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from callboard.contracts.definitions import PlaybookServer, ToolOverride
from callboard.contracts.previews import ExplainedThing, ExplainedTool, Hidden, Rule
from callboard.kernel.layers import OWN, left_out, prompts_of, resources_of
from callboard.kernel.names import prefix_of, wire_name
from callboard.kernel.overrides import override_of
from callboard_router.catalogue.compiled import CompiledPlaybook
from callboard_router.catalogue.domain import STORED, filter_rule


def explain(compiled: CompiledPlaybook, tool: str) -> tuple[ExplainedTool, ...]:
    """Every tool that agents or its server know by this name; nothing when there is none."""
    return (*_shown(compiled, tool), *_hidden(compiled, tool))


def explain_things(compiled: CompiledPlaybook, name: str) -> tuple[ExplainedThing, ...]:
    """Every prompt and resource that agents or its server know by this name; nothing when there is none."""
    return (*_prompts(compiled, name), *_resources(compiled, name), *_left_out(compiled, name))


def _prompts(compiled: CompiledPlaybook, name: str) -> Iterator[ExplainedThing]:
    own = prompts_of(compiled.definition, compiled.layers)
    for entry in compiled.exposure.prompts.values():
        if name not in (entry.wire, entry.item.name):
            continue
        if entry.server == STORED:
            yield _stored("prompt", compiled, name, own[name].layer, own[name].shadows)
        else:
            use = compiled.definition.servers[entry.server]
            base = f"playbooks.{compiled.name}.servers.{entry.server}"
            rules = tuple(_prefixing(base, entry.server, use, entry.item.name))
            yield _of_server("prompt", entry.wire, entry.server, rules)


def _resources(compiled: CompiledPlaybook, name: str) -> Iterator[ExplainedThing]:
    own = resources_of(compiled.definition, compiled.layers)
    entry = compiled.exposure.resources.get(name)
    if entry is not None and entry.server == STORED:
        yield _stored("resource", compiled, name, own[name].layer, own[name].shadows)
    elif entry is not None:
        yield _of_server("resource", name, entry.server, ())
    template = compiled.exposure.templates.get(name)
    if template is not None:
        yield _of_server("template", name, template.server, ())


def _left_out(compiled: CompiledPlaybook, name: str) -> Iterator[ExplainedThing]:
    where = f"playbooks.{compiled.name}.leave_out"
    for one in left_out(compiled.definition, compiled.layers):
        if one.name == name:
            rules = (Rule(where=where, effect=f"not taken from the layer: the pattern {one.pattern}"),)
            yield ExplainedThing(
                kind=one.kind, name=name, server="", layer=one.layer, shadows=(), rules=rules, hidden="left_out"
            )


def _stored(
    kind: Literal["prompt", "resource"], compiled: CompiledPlaybook, name: str, layer: str, shadows: tuple[str, ...]
) -> ExplainedThing:
    if layer == OWN:
        rule = Rule(where=f"playbooks.{compiled.name}.{kind}s.{name}", effect="the playbook's own")
    else:
        rule = Rule(where="", effect=f"from the layer {layer}: nothing narrower has one of this name")
    rules = (rule, *(Rule(where="", effect=f"shadows the one of the layer {one}") for one in shadows))
    return ExplainedThing(kind=kind, name=name, server="", layer=layer, shadows=shadows, rules=rules)


def _of_server(
    kind: Literal["prompt", "resource", "template"], name: str, server: str, rules: tuple[Rule, ...]
) -> ExplainedThing:
    return ExplainedThing(kind=kind, name=name, server=server, layer="", shadows=(), rules=rules)


def _shown(compiled: CompiledPlaybook, tool: str) -> Iterator[ExplainedTool]:
    for entry in compiled.exposure.tools.values():
        if tool in (entry.wire, entry.item.name):
            rules = tuple(_naming(compiled, entry.server, entry.item.name))
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
    return wire_name(prefix_of(hidden.server, use.names), _own_name(use, hidden.name))


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


def _naming(compiled: CompiledPlaybook, server: str, name: str) -> Iterator[Rule]:
    """The rules that let a tool through and gave it its name and description."""
    use = compiled.definition.servers[server]
    base = f"playbooks.{compiled.name}.servers.{server}"
    _, rule = filter_rule(server, name, use)
    where, _, pattern = rule.partition(": ")
    let = f"shown by the pattern {pattern}" if pattern else "shown: no allow-list, and no pattern of deny has it"
    yield Rule(where=f"playbooks.{compiled.name}.{where}" if pattern else f"{base}.tools", effect=let)
    if override := override_of(use.tools, name):
        yield from _renaming(base, use, name, override)
    yield from _prefixing(base, server, use, _own_name(use, name))
    if override:
        yield from _rewording(base, use, name, override)


def _own_name(use: PlaybookServer, name: str) -> str:
    override = override_of(use.tools, name)
    return override.name or name if override is not None else name


def _renaming(base: str, use: PlaybookServer, name: str, override: ToolOverride) -> Iterator[Rule]:
    if override.name is not None:
        word = f"rename.{name}" if name in use.tools.rename else f"override.{name}.name"
        yield Rule(where=f"{base}.tools.{word}", effect=f"renamed to {override.name}")


def _rewording(base: str, use: PlaybookServer, name: str, override: ToolOverride) -> Iterator[Rule]:
    """What the playbook says of the tool instead of its server; `describe` is the older word."""
    if override.description is not None:
        word = f"describe.{name}" if name in use.tools.describe else f"override.{name}.description"
        yield Rule(where=f"{base}.tools.{word}", effect="described in the playbook's words")
    for word in ("title", "annotations", "defaults", "pins"):
        if getattr(override, word):
            yield Rule(where=f"{base}.tools.override.{name}.{word}", effect=f"with {word} of the playbook")


def _prefixing(base: str, server: str, use: PlaybookServer, shown: str) -> Iterator[Rule]:
    prefix = prefix_of(server, use.names)
    if prefix:
        yield Rule(where=f"{base}.names", effect=f"{use.names}: begins with {prefix}")
    if wire_name(prefix, shown) != prefix + shown:
        yield Rule(where="", effect=f"{prefix}{shown} is over 64 characters, so its end is a hash of the whole")
