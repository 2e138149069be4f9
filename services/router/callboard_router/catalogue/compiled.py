"""A playbook version compiled for serving: every answer that can be prepared is prepared here, not per call."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from callboard.contracts.calls import RpcHead
from callboard.contracts.definitions import Catalogue, Deadlines, PlaybookContent
from callboard.contracts.playbooks import Opened
from callboard.contracts.problems import Problem
from callboard.kernel.extensions import TASKS
from callboard.kernel.layers import instructions_of
from callboard.kernel.overrides import filling_of
from callboard.kernel.param_headers import ANNOTATION, mirror_fault
from callboard.kernel.plain_json import plain
from callboard_router.catalogue.caching import caching_of
from callboard_router.catalogue.capabilities import capabilities_of, declared_by, tasks_of
from callboard_router.catalogue.deadlines import Limits, limits_of, of_tool
from callboard_router.catalogue.division import Division
from callboard_router.catalogue.domain import Collision, Entry, Exposure, app_of, expose, template_pattern
from callboard_router.catalogue.drift import Definitions, differences, held_of, without
from callboard_router.catalogue.lists import PreparedList, definition_bytes
from callboard_router.catalogue.schema import ArgumentCheck
from callboard_router.catalogue.stored import readings, stored_etag

DEFAULT_LIMITS = Limits(60_000, 3_600_000)


_opened = msgspec.json.Decoder(Opened).decode


def said_divided(opened: bytes) -> bytes:
    """An answer to `callboard/open` that says that other callers may be told otherwise."""
    return msgspec.json.encode(msgspec.structs.replace(_opened(opened), divided=True))


class _Definition(msgspec.Struct):
    """The part of a tool definition that a call needs."""

    inputSchema: msgspec.Raw = msgspec.Raw(b"{}")


class RuleBroken(Exception):
    """The arguments of a call are not what a policy allows; says which rule, and no value."""


class Demanding(Protocol):
    """What policies want of whoever calls a tool; `policies.step_up.Demand` is the only one."""

    def refusal(self, head: RpcHead) -> str:
        """Why the caller may not call it and cannot come to; empty when it may. Raises `auth.scope_insufficient`."""


class ToolRoute:
    """Where a call of one tool goes; the schema is compiled at the first call and kept.

    `wire` is its name in the playbook, `name` the one at its server. `filling`: what the playbook adds to its
    arguments. `demand`: what policies want beside ordinary use.
    """

    demand: Demanding | None = None
    __slots__ = ("_check", "_raw", "_shown", "digest", "filling", "limits", "mirrored", "name", "server", "wire")

    def __init__(self, entry: Entry, limits: Limits) -> None:
        self.wire = entry.wire
        self.server = entry.server
        self.limits = limits
        self.name = entry.item.name
        self.digest = entry.item.digest
        self._raw = entry.item.raw
        self.filling = filling_of(entry.override)
        self._shown = self._raw if self.filling is None else msgspec.Raw(definition_bytes(entry))
        self._check: ArgumentCheck | None = None
        self.mirrored = ANNOTATION.encode() in bytes(self._shown)

    def mirror_fault(self, arguments: Any, headers: Mapping[str, str]) -> str | None:
        """Why the `Mcp-Param-*` headers of a request do not mirror its arguments; None when they do."""
        return mirror_fault(_schema_of(self._shown), arguments, headers)

    def faults(self, arguments: Any) -> list[str]:
        """What is wrong with the arguments, as the server gets them; empty when nothing is."""
        if self._check is None:
            self._check = ArgumentCheck(_schema_of(self._raw))
        return self._check.faults(arguments)


def _schema_of(definition: msgspec.Raw) -> Any:
    return plain(msgspec.json.decode(definition, type=_Definition).inputSchema)


class Policing(Protocol):
    """What policies make of a playbook; `policies.policing` has the only one."""

    def view(self, head: RpcHead) -> CompiledPlaybook:
        """The playbook as it is for whoever sent this request."""


class Limiting(Protocol):
    """One limit of how often: so many `calls` in each window of `seconds`; see `policies.limits.CompiledLimit`."""

    @property
    def policy(self) -> str:
        """Whose limit it is."""

    @property
    def calls(self) -> int:
        """How many in one window."""

    @property
    def seconds(self) -> int:
        """How long a window is."""

    def counter(self, head: RpcHead, server: str, tool: str) -> str | None:
        """Which counter a call is taken from; None where the limit is not about it."""


class CompiledPlaybook:
    """One version against the catalogues of the moment. Immutable; a change makes a new one.

    `place` is `ORGANISATION/PLAYBOOK`. `division` is set on a current version only, when some are served another one;
    `policing` where policies hold, and then nobody is served this object but a view of it, which may have `limits`.
    """

    policing: Policing | None = None
    limits_of_calls: tuple[Limiting, ...] = ()

    def __init__(
        self,
        version: int,
        content: PlaybookContent,
        catalogues: Mapping[str, Catalogue],
        page_size: int,
        deadlines: Mapping[str, Deadlines] | None = None,
        defaults: Limits = DEFAULT_LIMITS,
        place: str = "",
        definitions: Definitions | None = None,
    ) -> None:
        found = expose(content.definition, catalogues, content)
        drifts = held_of(differences(found, content, catalogues, definitions or {}))
        self.held = {key: drift.brief for key, drift in drifts.items()}
        self.exposure = exposure = without(found, self.held)
        self.division: Division | None = None
        self.name = place.rpartition("/")[2]
        self.version = version
        self._defaults = defaults
        self._deadlines = deadlines or {}
        self._limits = {name: limits_of(None, said, defaults) for name, said in self._deadlines.items()}
        self.definition = content.definition
        self.layers = content.layers or ()
        # Travels with each call, so that a connector need not know playbooks.
        self.recording = msgspec.msgpack.encode(content.definition.record) if content.definition.record else b""
        self.collisions: tuple[Collision, ...] = exposure.collisions
        self.tools = {name: ToolRoute(entry, self._tool_limits(entry)) for name, entry in exposure.tools.items()}
        self._resources = exposure.resources
        self._templates: list[tuple[re.Pattern[str], Entry]] = [
            (template_pattern(uri), entry) for uri, entry in exposure.templates.items()
        ]
        self._template_owners = exposure.templates
        declared = declared_by(content.definition, catalogues)
        self.resource_servers = [server for server, said in declared.items() if "resources" in said]
        self._app_servers: dict[str, str] = {}
        for tool in exposure.tools.values():
            if uri := app_of(tool):
                self._app_servers.setdefault(uri, tool.server)
        self._page_size, self._place = page_size, place
        kinds = ("tools", "prompts", "resources", "templates")
        self.caching = {kind: caching_of(kind, content.definition, catalogues) for kind in kinds}
        self._show(exposure)
        self.opened = msgspec.json.encode(self._opened(content, catalogues, declared))

    def _show(self, exposure: Exposure) -> None:
        """Prepare what is listed and what is answered here."""
        self.prompts = exposure.prompts
        self.stored = readings(exposure.resources)
        shown = {
            "tools/list": ("tools", "tools", exposure.tools),
            "prompts/list": ("prompts", "prompts", exposure.prompts),
            "resources/list": ("resources", "resources", exposure.resources),
            "resources/templates/list": ("templates", "resourceTemplates", exposure.templates),
        }
        self.lists = {
            method: PreparedList(
                key, map(definition_bytes, entries.values()), self._page_size, self._place, self.caching[kind]
            )
            for method, (kind, key, entries) in shown.items()
        }
        resources = self.lists["resources/list"].etag + self.lists["resources/templates/list"].etag
        self.etags = {
            "tools": self.lists["tools/list"].etag,
            "prompts": self.lists["prompts/list"].etag,
            "resources": resources + stored_etag(exposure.resources),
        }

    def _opened(
        self, content: PlaybookContent, catalogues: Mapping[str, Catalogue], declared: dict[str, dict[str, Any]]
    ) -> Opened:
        definition = content.definition
        said = [catalogues[s].instructions for s in definition.servers if s in catalogues]
        parts = [instructions_of(definition, self.layers), *said]
        capabilities, tasks = capabilities_of(declared), tasks_of(declared, catalogues)
        self.makes_tasks = bool(tasks) or TASKS in capabilities.get("extensions", ())
        return Opened(
            version=self.version,
            title=definition.title,
            description=definition.description,
            instructions="\n\n".join(part for part in parts if part),
            capabilities=msgspec.Raw(msgspec.json.encode(capabilities)),
            etags=self.etags,
            tasks=msgspec.Raw(msgspec.json.encode(tasks)),
        )

    @property
    def is_divided(self) -> bool:
        """Whether callers may be shown different things."""
        return self.division is not None or self.policing is not None

    def recorded_as(self, problem: Problem) -> str:
        """What the record of a call says that ended so."""
        return problem.code

    def divided_by(self, division: Division) -> CompiledPlaybook:
        """The same playbook as the current version of one whose callers are not all served it."""
        other = copy.copy(self)
        other.division = division
        other.opened = said_divided(self.opened)
        return other

    def policed_by(self, policing: Policing | None) -> CompiledPlaybook:
        """The same playbook under these policies."""
        other = copy.copy(self)
        other.policing = policing
        return other

    def admits_task(self, server: str, tool: str, head: RpcHead) -> bool:
        """Whether the caller may ask for what this tool (by its server's name) began."""
        return True

    def under(
        self, tools: Mapping[str, str], prompts: Mapping[str, str], rename: Callable[[str], str]
    ) -> CompiledPlaybook:
        """The same playbook where its tools and prompts have other names. Both: name there -> name here."""
        other = copy.copy(self)
        other.tools = {there: self.tools[here] for there, here in tools.items()}
        other.prompts = {there: self.prompts[here] for there, here in prompts.items()}
        other.held = {(kind, rename(name)): drift for (kind, name), drift in self.held.items()}
        return other

    def _tool_limits(self, entry: Entry) -> Limits:
        said = of_tool(entry.item.name, self.definition.servers[entry.server].tools.deadlines)
        return limits_of(said, self._deadlines.get(entry.server, Deadlines()), self._defaults)

    def limits(self, server: str) -> Limits:
        """How long anything but a tool may take at a server."""
        return self._limits.get(server, self._defaults)

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
        """(server, digest) for a URI; the digest is empty when only the server is known.

        The app of a tool (`ui://`, MCP Apps) need not be listed: it is its tool's server that has it.
        """
        try:
            entry = self.resource_owner(uri)
        except Problem:
            app = self._app_servers.get(uri)
            if app is not None:
                return app, ""
            if len(self.resource_servers) == 1:
                return self.resource_servers[0], ""
            raise
        return entry.server, entry.item.digest

    def template_owner(self, uri: str) -> Entry | None:
        """The owner of a template, named verbatim by a completion request."""
        return self._template_owners.get(uri)
