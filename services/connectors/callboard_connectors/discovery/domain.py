"""From what a server listed to a `Catalogue`: each item judged by itself, so that a bad one spoils no other; pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from callboard.contracts.definitions import CacheHint, Catalogue, CatalogueItem
from callboard.kernel.digest import digest_of, digest_of_json
from callboard.kernel.param_headers import annotation_fault
from callboard.kernel.plain_json import plain
from callboard.kernel.text_faults import hidden_message
from callboard_connectors.discovery.schema_rules import schema_fault

Kind = Literal["tools", "prompts", "resources", "templates"]

METHODS: dict[Kind, str] = {
    "tools": "tools/list",
    "prompts": "prompts/list",
    "resources": "resources/list",
    "templates": "resources/templates/list",
}
MEMBERS: dict[Kind, str] = {
    "tools": "tools",
    "prompts": "prompts",
    "resources": "resources",
    "templates": "resourceTemplates",
}
_CAPABILITY: dict[Kind, str] = {
    "tools": "tools",
    "prompts": "prompts",
    "resources": "resources",
    "templates": "resources",
}
_NAMED_BY: dict[Kind, str] = {"tools": "name", "prompts": "name", "resources": "uri", "templates": "uriTemplate"}
_MAX_NAME = {"tools": 128, "prompts": 256, "resources": 4096, "templates": 4096}
MAX_TTL_MS = 7 * 86_400_000
_UNUSABLE = re.compile(r"[\s\x00-\x1f\x7f]")

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def kinds_offered(capabilities: msgspec.Raw) -> dict[Kind, bool]:
    """What to list, and whether the server declared it (then a failure is one).

    A server that declares none of them forgot to, and is asked for all.
    """
    try:
        declared = set(_fields(capabilities))
    except msgspec.DecodeError:
        declared = set()
    offered: dict[Kind, bool] = {kind: True for kind, name in _CAPABILITY.items() if name in declared}
    return offered or dict.fromkeys(METHODS, False)


def judge(kind: Kind, raw: bytes, position: int) -> CatalogueItem:
    """One listed item, with what is wrong with it."""
    try:
        return _judged(kind, raw, position)
    except RecursionError:
        problem = "is nested too deeply"
    # Its place in the list names it: what it says of itself could not be read.
    digest = "sha256:" + hashlib.sha256(raw).hexdigest()
    return CatalogueItem(name=_unnamed(position), digest=digest, raw=msgspec.Raw(raw), problem=problem)


def _unnamed(position: int) -> str:
    return f"(unnamed {position + 1})"


def _judged(kind: Kind, raw: bytes, position: int) -> CatalogueItem:
    data = plain(raw)
    name = data.get(_NAMED_BY[kind]) if isinstance(data, dict) else None
    problem = _name_fault(kind, name)
    if problem is None and kind == "tools":
        problem = _tool_fault(data)
    if problem is None and (hidden := hidden_message(data)):
        problem = f"has {hidden}, which a model reads and a person cannot see"
    shown = name if isinstance(name, str) and name else _unnamed(position)
    return CatalogueItem(name=shown, digest=digest_of_json(raw), raw=msgspec.Raw(raw), problem=problem)


def _name_fault(kind: Kind, name: object) -> str | None:
    what = _NAMED_BY[kind]
    if not isinstance(name, str) or not name:
        return f"has no {what}"
    if len(name) > _MAX_NAME[kind]:
        return f"has a {what} of more than {_MAX_NAME[kind]} characters"
    if kind == "tools" and _UNUSABLE.search(name):
        return "has a name with white space or control characters"
    return None


def _tool_fault(tool: Mapping[str, Any]) -> str | None:
    schema = tool.get("inputSchema")
    if fault := schema_fault(schema):
        return f"inputSchema {fault}"
    if isinstance(schema, dict) and schema.get("type") != "object":
        return 'inputSchema is not of type "object"'
    if fault := annotation_fault(schema):
        return fault
    if tool.get("outputSchema") is not None and (fault := schema_fault(tool["outputSchema"])):
        return f"outputSchema {fault}"
    return None


def quarantine_twins(items: Sequence[CatalogueItem]) -> tuple[CatalogueItem, ...]:
    """The first of a name stands; a second one is quarantined."""
    seen: set[str] = set()
    kept = []
    for item in items:
        if item.name in seen and item.problem is None:
            item = msgspec.structs.replace(item, problem="is listed twice under this name; the first one is used")
        seen.add(item.name)
        kept.append(item)
    return tuple(kept)


class _Kept(msgspec.Struct, rename="camel"):
    ttl_ms: Annotated[int, msgspec.Meta(ge=0)]
    cache_scope: Literal["public", "private"] = "private"


_kept = msgspec.json.Decoder(_Kept).decode


def hint_of(page: bytes) -> CacheHint | None:
    """What one page of a list says about keeping it; None for nothing that can be used."""
    try:
        said = _kept(page)
    except msgspec.DecodeError:
        return None
    return CacheHint(ttl_ms=min(said.ttl_ms, MAX_TTL_MS), scope=said.cache_scope)


def strictest(hints: Sequence[CacheHint | None]) -> CacheHint | None:
    """What holds for all pages of a list together; None when one of them says nothing."""
    said = [hint for hint in hints if hint is not None]
    if not said or len(said) < len(hints):
        return None
    public = all(hint.scope == "public" for hint in said)
    return CacheHint(ttl_ms=min(hint.ttl_ms for hint in said), scope="public" if public else "private")


def digest_of_catalogue(catalogue: Catalogue) -> str:
    """The identity of what was discovered. The order of a list and the era spoken do not belong to it.

    Of a time to live only its order of magnitude does: some servers count it down.
    """

    def lines(items: tuple[CatalogueItem, ...]) -> list[list[str]]:
        return sorted([item.name, item.digest, item.problem or ""] for item in items)

    identity: dict[str, Any] = {
        "tools": lines(catalogue.tools),
        "prompts": lines(catalogue.prompts),
        "resources": lines(catalogue.resources),
        "templates": lines(catalogue.templates),
        "capabilities": json.loads(bytes(catalogue.capabilities)),
        "server_info": json.loads(bytes(catalogue.server_info)),
        "instructions": catalogue.instructions,
    }
    if catalogue.caching:
        identity["caching"] = {kind: [len(str(h.ttl_ms)), h.scope] for kind, h in catalogue.caching.items()}
    return digest_of(identity)


def quarantined(catalogue: Catalogue) -> dict[str, str]:
    """Name > why, of everything that is quarantined."""
    everything = (*catalogue.tools, *catalogue.prompts, *catalogue.resources, *catalogue.templates)
    return {item.name: item.problem for item in everything if item.problem is not None}
