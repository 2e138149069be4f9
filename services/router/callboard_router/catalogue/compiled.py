"""A playbook version compiled for serving: every answer that can be prepared is prepared here, not per call."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from callboard.contracts.definitions import Catalogue, PlaybookContent
from callboard.contracts.playbooks import Opened
from callboard.contracts.problems import Problem
from callboard.kernel.param_headers import ANNOTATION, mirror_fault
from callboard_router.catalogue.domain import Collision, Entry, expose, template_pattern
from callboard_router.catalogue.lists import PreparedList, definition_bytes
from callboard_router.catalogue.schema import ArgumentCheck

CAPABILITIES: dict[str, Any] = {
    "tools": {"listChanged": True},
    "prompts": {"listChanged": True},
    "resources": {"listChanged": True, "subscribe": True},
}
"""What every endpoint has."""


class _Definition(msgspec.Struct):
    """The part of a tool definition that a call needs."""

    inputSchema: msgspec.Raw = msgspec.Raw(b"{}")


class ToolRoute:
    """Where a call of one tool goes; the schema is compiled at the first call and kept.

    `wire` is its name in the playbook, `name` the one at its server.
    """

    __slots__ = ("_check", "_raw", "digest", "mirrored", "name", "server", "wire")

    def __init__(self, entry: Entry) -> None:
        self.wire = entry.wire
        self.server = entry.server
        self.name = entry.item.name
        self.digest = entry.item.digest
        self._raw = entry.item.raw
        self._check: ArgumentCheck | None = None
        self.mirrored = ANNOTATION.encode() in bytes(entry.item.raw)

    def mirror_fault(self, arguments: Any, headers: Mapping[str, str]) -> str | None:
        """Why the `Mcp-Param-*` headers of a request do not mirror its arguments; None when they do."""
        return mirror_fault(self._schema(), arguments, headers)

    def _schema(self) -> Any:
        return msgspec.json.decode(msgspec.json.decode(self._raw, type=_Definition).inputSchema)

    def faults(self, arguments: Any) -> list[str]:
        """What is wrong with the arguments; empty when nothing is."""
        if self._check is None:
            self._check = ArgumentCheck(self._schema())
        return self._check.faults(arguments)


class CompiledPlaybook:
    """One version against the catalogues of the moment. Immutable; a change makes a new one.

    `place` is `ORGANISATION/PLAYBOOK`.
    """

    def __init__(
        self,
        version: int,
        content: PlaybookContent,
        catalogues: Mapping[str, Catalogue],
        page_size: int,
        deadlines: Mapping[str, float] | None = None,
        place: str = "",
    ) -> None:
        self.exposure = exposure = expose(content.definition, catalogues)
        self.name = place.rpartition("/")[2]
        self.version = version
        self._deadlines = {name: int(seconds * 1000) for name, seconds in (deadlines or {}).items()}
        self.definition = content.definition
        # Travels with each call, so that a connector need not know playbooks.
        self.recording = msgspec.msgpack.encode(content.definition.record) if content.definition.record else b""
        self.collisions: tuple[Collision, ...] = exposure.collisions
        self.tools = {name: ToolRoute(entry) for name, entry in exposure.tools.items()}
        self.prompts = exposure.prompts
        self._resources = exposure.resources
        self._templates: list[tuple[re.Pattern[str], Entry]] = [
            (template_pattern(uri), entry) for uri, entry in exposure.templates.items()
        ]
        self._template_owners = exposure.templates
        self.resource_servers = _with_capability(content, catalogues, b'"resources"')
        self.lists = {
            "tools/list": _prepared("tools", exposure.tools, page_size),
            "prompts/list": _prepared("prompts", exposure.prompts, page_size),
            "resources/list": _prepared("resources", exposure.resources, page_size),
            "resources/templates/list": _prepared("resourceTemplates", exposure.templates, page_size),
        }
        self.etags = {
            "tools": self.lists["tools/list"].etag,
            "prompts": self.lists["prompts/list"].etag,
            "resources": self.lists["resources/list"].etag + self.lists["resources/templates/list"].etag,
        }
        self.opened = msgspec.json.encode(self._opened(content, catalogues))

    def _opened(self, content: PlaybookContent, catalogues: Mapping[str, Catalogue]) -> Opened:
        definition = content.definition
        capabilities = dict(CAPABILITIES)
        for capability in ("completions", "logging"):
            if _with_capability(content, catalogues, f'"{capability}"'.encode()):
                capabilities[capability] = {}
        said = [catalogues[s].instructions for s in definition.servers if s in catalogues]
        parts = [definition.instructions or definition.description, *said]
        return Opened(
            version=self.version,
            title=definition.title,
            description=definition.description,
            instructions="\n\n".join(part for part in parts if part),
            capabilities=msgspec.Raw(msgspec.json.encode(capabilities)),
            etags=self.etags,
        )

    def under(self, tools: Mapping[str, str], prompts: Mapping[str, str]) -> CompiledPlaybook:
        """The same playbook where its tools and prompts have other names. Both: name there -> name here."""
        other = copy.copy(self)
        other.tools = {there: self.tools[here] for there, here in tools.items()}
        other.prompts = {there: self.prompts[here] for there, here in prompts.items()}
        return other

    def deadline(self, server: str, received: int, deadline: int) -> int:
        """The earlier of the request's deadline and the server's own, in epoch ms. `received` in epoch us."""
        limit = self._deadlines.get(server)
        return deadline if limit is None else min(deadline, received // 1000 + limit)

    def resource_owner(self, uri: str) -> Entry:
        """Whose resource this is: listed, else by template, else the only server that has resources."""
        entry = self._resources.get(uri)
        if entry is not None:
            return entry
        for pattern, candidate in self._templates:
            if pattern.fullmatch(uri):
                return candidate
        raise Problem("resource.unknown", f"no server of the playbook has the resource {uri}", uri=uri)

    def resource_server(self, uri: str) -> tuple[str, str]:
        """(server, digest) for a URI; the digest is empty when only the server is known."""
        try:
            entry = self.resource_owner(uri)
        except Problem:
            if len(self.resource_servers) == 1:
                return self.resource_servers[0], ""
            raise
        return entry.server, entry.item.digest

    def template_owner(self, uri: str) -> Entry | None:
        """The owner of a template, named verbatim by a completion request."""
        return self._template_owners.get(uri)


def _prepared(key: str, entries: Mapping[str, Entry], page_size: int) -> PreparedList:
    return PreparedList(key, (definition_bytes(entry) for entry in entries.values()), page_size)


def _with_capability(content: PlaybookContent, catalogues: Mapping[str, Catalogue], capability: bytes) -> list[str]:
    name = capability.strip(b'"').decode()
    found = []
    for server, use in content.definition.servers.items():
        catalogue = catalogues.get(server)
        if use.enabled and catalogue is not None:
            declared = msgspec.json.decode(catalogue.capabilities)
            if isinstance(declared, dict) and name in declared:
                found.append(server)
    return found
