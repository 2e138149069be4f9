"""`callboard playbook preview` and `callboard playbook explain`."""

from __future__ import annotations

from argparse import Namespace
from datetime import datetime
from typing import Any, Final

import msgspec

from callboard.cli.exit_codes import OK
from callboard.cli.moments import moment_of
from callboard.cli.output import Output
from callboard.cli.target import connect, reference_of
from callboard.contracts.previews import ExplainedThing, ExplainedTool, Hidden, Preview, Rule

_NAME: Final = {"tools": "name", "prompts": "name", "resources": "uri", "resourceTemplates": "uriTemplate"}
_KIND: Final = {"tools": "tool", "prompts": "prompt", "resources": "resource", "resourceTemplates": "template"}
_members = msgspec.json.Decoder(dict[str, Any]).decode


def preview(args: Namespace, out: Output) -> int:
    """`playbook preview NAME[@N] --as CLIENT [--era 2025] [--at TIME]`."""
    at = moment_of(args.at, datetime.now().astimezone()) if args.at else None
    with connect(args) as callboard:
        organisation, name, version = reference_of(args.name, args, callboard)
        found = callboard.preview(organisation, name, args.client, args.era, version, at)
    if out.as_json:
        out.json(found)
        return OK
    seen = f"{organisation}/{name}@{found.version} as {found.client} sees it"
    out.text(f"{seen}, {found.era}, at log position {found.seq}")
    if found.version != found.current:
        out.text(f"  (the current version is {found.current})")
    for line in _listed(found):
        out.text(f"  {line}")
    for hidden in found.hidden:
        out.text(f"  - {_hidden(hidden)}")
    return OK


def _listed(found: Preview) -> list[str]:
    lines = []
    for pages in found.lists.values():
        for page in pages:
            for key, items in _members(page).items():
                if key in _NAME:
                    lines += [f"{_KIND[key]} {item[_NAME[key]]}{_described(item)}" for item in items]
    return lines


def _described(item: dict[str, Any]) -> str:
    text = str(item.get("description") or item.get("title") or "").strip()
    return f": {text.splitlines()[0][:100]}" if text else ""


def _hidden(hidden: Hidden) -> str:
    of = "" if hidden.kind == "server" or hidden.reason == "left_out" else f" of {hidden.server or 'the playbook'}"
    return f"{hidden.kind} {hidden.name}{of} is hidden, {hidden.reason.replace('_', ' ')} ({hidden.rule})"


def explain(args: Namespace, out: Output) -> int:
    """`playbook explain NAME[@N] THING`."""
    with connect(args) as callboard:
        organisation, name, version = reference_of(args.name, args, callboard)
        found = callboard.explain(organisation, name, args.tool, version)
    if out.as_json:
        out.json(found)
        return OK
    for tool in found.tools:
        out.text(_headline(tool))
        _print_rules(tool.rules, out)
    for thing in found.things:
        out.text(_headline_of_thing(thing))
        _print_rules(thing.rules, out)
    for layer in found.outdated:
        out.text(f"the layer {layer} has changed since version {found.version}: `callboard publish` takes it over")
    return OK


def _print_rules(rules: tuple[Rule, ...], out: Output) -> None:
    for rule in rules:
        out.text(f"  {rule.where + ': ' if rule.where else ''}{rule.effect}")


def _headline_of_thing(thing: ExplainedThing) -> str:
    source = thing.server or (f"the layer {thing.layer}" if thing.layer else "the playbook")
    return f"{thing.kind} {thing.name} of {source} is {'shown' if thing.hidden is None else 'hidden'}"


def _headline(tool: ExplainedTool) -> str:
    said = f"is shown as {tool.name}" if tool.hidden is None else "is hidden"
    return f"{tool.upstream_name} of {tool.server} {said}"
