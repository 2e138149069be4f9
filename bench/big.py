"""A big playbook: many servers with many tools, of the size that real servers' definitions have."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import msgspec

from callboard.contracts.definitions import (
    Catalogue,
    CatalogueItem,
    Exposed,
    PlaybookContent,
    PlaybookDefinition,
    PlaybookServer,
)
from callboard.kernel.digest import digest_of_json

SERVERS, TOOLS = 50, 2000


def _definition(name: str, variant: int) -> bytes:
    properties: dict[str, Any] = {
        f"argument_{number}": {"type": "string", "description": f"Argument {number} of {name}", "maxLength": 100}
        for number in range(8)
    }
    properties["limit"] = {"type": "integer", "minimum": 0, "maximum": 100 + variant}
    schema = {"type": "object", "properties": properties, "required": ["argument_0"]}
    words = f"Does what {name} does, for whoever asks it to. " * 4
    return json.dumps({"name": name, "description": words, "inputSchema": schema}).encode()


@cache
def _item(name: str, variant: int = 0) -> CatalogueItem:
    raw = _definition(name, variant)
    return CatalogueItem(name=name, digest=digest_of_json(raw), raw=msgspec.Raw(raw))


def _names(servers: int, tools: int) -> dict[str, list[str]]:
    return {f"server{at}": [f"tool_{at}_{number}" for number in range(tools // servers)] for at in range(servers)}


@cache
def big_catalogues(servers: int = SERVERS, tools: int = TOOLS, variant: int = 0) -> dict[str, Catalogue]:
    """Server -> what it offers."""
    return {
        server: Catalogue(era="2026-07-28", tools=tuple(_item(name, variant) for name in names))
        for server, names in _names(servers, tools).items()
    }


@cache
def big_content(servers: int = SERVERS, tools: int = TOOLS, variant: int = 0) -> PlaybookContent:
    """A version that exposes all of it."""
    exposed = {
        f"{server}__{name}": Exposed(server=server, name=name, digest=_item(name, variant).digest)
        for server, names in _names(servers, tools).items()
        for name in names
    }
    definition = PlaybookDefinition(servers={server: PlaybookServer() for server in _names(servers, tools)})
    return PlaybookContent(definition=definition, tools=exposed)


def other_content() -> tuple[PlaybookContent, dict[str, bytes]]:
    """The same with every definition changed, and the definitions of both by digest."""
    definitions = {
        item.digest: bytes(item.raw)
        for variant in (0, 1)
        for catalogue in big_catalogues(variant=variant).values()
        for item in catalogue.tools
    }
    return big_content(variant=1), definitions
