"""Several playbooks as one: the union that `/mcp` serves to a token which opens more than one.

A directory in front of the playbooks: it answers what is about all of them (lists, what a client learns when it
connects) and knows to whom everything else belongs; the owner then decides by its own version and rules.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from typing import Any

import msgspec
import structlog

from callboard.contracts import subjects
from callboard.contracts.definitions import CacheHint
from callboard.contracts.playbooks import Opened
from callboard.contracts.problems import Problem
from callboard.kernel.names import prefix_among, wire_name
from callboard_router.catalogue.capabilities import capabilities_of, united
from callboard_router.catalogue.compiled import CompiledPlaybook
from callboard_router.catalogue.domain import Entry
from callboard_router.catalogue.lists import PreparedList, definition_bytes

log = structlog.get_logger()
_opened = msgspec.json.Decoder(Opened).decode
_members = msgspec.json.Decoder(dict[str, Any]).decode


class Part:
    """One playbook as it stands in every union: its names begin with its own. Made once per compilation.

    `owner` is the playbook under these names; `tools` and `prompts` are (name, definition as served).
    """

    def __init__(self, compiled: CompiledPlaybook) -> None:
        self.prefix = prefix_among(compiled.name)
        self.opened = _opened(compiled.opened)
        self.tools = [*self._renamed(compiled.exposure.tools)]
        self.prompts = [*self._renamed(compiled.exposure.prompts)]
        self.owner = compiled.under(
            {wire_name(self.prefix, name): name for name in compiled.exposure.tools},
            {wire_name(self.prefix, name): name for name in compiled.exposure.prompts},
            partial(wire_name, self.prefix),
        )

    def _renamed(self, entries: Mapping[str, Entry]) -> Iterator[tuple[str, bytes]]:
        for name, entry in entries.items():
            shown = wire_name(self.prefix, name)
            yield shown, definition_bytes(msgspec.structs.replace(entry, wire=shown))


class CombinedPlaybooks:
    """The union of parts, in their order. Immutable; a change of any of them makes a new one."""

    def __init__(self, organisation: str, parts: Iterable[Part], page_size: int) -> None:
        self._parts = tuple(parts)
        place = "/".join((organisation, *(part.owner.name for part in self._parts)))
        tools = _unambiguous("tool", organisation, (part.tools for part in self._parts))
        prompts = _unambiguous("prompt", organisation, (part.prompts for part in self._parts))
        self.tools = {name: part.owner for part in self._parts for name, _ in part.tools if name in tools}
        self.prompts = {name: part.owner for part in self._parts for name, _ in part.prompts if name in prompts}
        for part in self._parts:
            for kind, name in part.owner.held:
                # So that a caller who knows the name learns from its owner why it is not there.
                (self.tools if kind == "tool" else self.prompts).setdefault(name, part.owner)
        self._resources, resources = self._verbatim("resources")
        self._templates, templates = self._verbatim("templates")
        self.lists = {
            method: PreparedList(key, items, page_size, place, self._caching(method))
            for method, key, items in (
                ("tools/list", "tools", tools.values()),
                ("prompts/list", "prompts", prompts.values()),
                ("resources/list", "resources", resources),
                ("resources/templates/list", "resourceTemplates", templates),
            )
        }
        self.divided = tuple(part.owner for part in self._parts if part.owner.division is not None)
        self.opened = msgspec.json.encode(self._opened(organisation))

    def _caching(self, method: str) -> CacheHint:
        """As long as every part may be kept, and never by others: a token chose the parts."""
        kept = [part.owner.lists[method].caching.ttl_ms for part in self._parts]
        return CacheHint(ttl_ms=min(kept, default=0), scope="private")

    def _verbatim(self, kind: str) -> tuple[dict[str, CompiledPlaybook], list[bytes]]:
        """URI -> the first playbook that has it, and the definitions; a URI is an identity and keeps its form."""
        owners: dict[str, CompiledPlaybook] = {}
        definitions = []
        for part in self._parts:
            entries: dict[str, Entry] = getattr(part.owner.exposure, kind)
            for uri, entry in entries.items():
                if owners.setdefault(uri, part.owner) is part.owner:
                    definitions.append(definition_bytes(entry))
        return owners, definitions

    def _opened(self, organisation: str) -> Opened:
        said = [_members(part.opened.capabilities) for part in self._parts]
        tasks = united(_members(part.opened.tasks) for part in self._parts)
        lists = self.lists
        return Opened(
            version=0,
            title=organisation,
            description="",
            instructions="\n\n".join(_section(part) for part in self._parts if part.opened.instructions),
            capabilities=msgspec.Raw(msgspec.json.encode(united([capabilities_of({}), *said]))),
            etags={
                "tools": lists["tools/list"].etag,
                "prompts": lists["prompts/list"].etag,
                "resources": lists["resources/list"].etag + lists["resources/templates/list"].etag,
            },
            tasks=msgspec.Raw(msgspec.json.encode(tasks or {})),
            divided=any(part.opened.divided for part in self._parts),
        )

    def resource_owner(self, uri: str) -> CompiledPlaybook:
        """Whose resource this is, by the order of one playbook: listed, by template, the only server with any."""
        owner = self._resources.get(uri)
        if owner is not None:
            return owner
        for part in self._parts:
            try:
                part.owner.resource_owner(uri)
            except Problem:
                continue
            return part.owner
        servers = {server for part in self._parts for server in part.owner.resource_servers}
        if len(servers) == 1:
            return next(part.owner for part in self._parts if part.owner.resource_servers)
        raise Problem("resource.unknown", f"no server of your playbooks has the resource {uri}", uri=uri)

    def task_owner(self, playbook: str) -> CompiledPlaybook:
        """Who resolves what is about a task of this playbook; for one that is not a part, anyone who will refuse it."""
        named = [part.owner for part in self._parts if part.owner.name == playbook]
        makers = [part.owner for part in self._parts if part.owner.makes_tasks]
        for owner in (*named, *makers):
            return owner
        raise Problem("method.unknown", "no server of your playbooks makes tasks")

    def template_owner(self, uri: str) -> CompiledPlaybook:
        """The owner of a template or of a resource, named verbatim by a completion request."""
        return self._templates.get(uri) or self.resource_owner(uri)


def _section(part: Part) -> str:
    opened = part.opened
    heading = opened.title or part.owner.name
    return f"# {heading}\n\nNames that begin with `{part.prefix}`.\n\n{opened.instructions}"


def _unambiguous(kind: str, organisation: str, definitions: Iterable[list[tuple[str, bytes]]]) -> dict[str, bytes]:
    """Name -> definition. Two aliases can be equal, though it takes 2**32 tries: then neither stands for the other."""
    found = [*chain.from_iterable(definitions)]
    shown = dict(found)
    if len(shown) < len(found):
        for name, count in Counter(name for name, _ in found).items():
            if count > 1:
                del shown[name]
                log.warning("names_equal", organisation=organisation, playbook=subjects.SEVERAL, kind=kind, name=name)
    return shown
