"""What a playbook exposes: from its definition and the servers' catalogues to names, owners and digests.

Pure: the same function answers a publish, a dry run and the compilation of what is served.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from callboard.contracts.definitions import (
    Catalogue,
    CatalogueItem,
    Exposed,
    HeldLayer,
    PlaybookContent,
    PlaybookDefinition,
    PlaybookServer,
    StoredPrompt,
    StoredResource,
    ToolOverride,
)
from callboard.contracts.previews import Hidden, HiddenReason
from callboard.kernel.digest import digest_of_struct
from callboard.kernel.layers import left_out, prompts_of, resources_of
from callboard.kernel.names import first_match, prefix_of, wire_name
from callboard.kernel.overrides import override_of

STORED = ""
"""The `server` of what lives in the playbook itself."""


class Entry(msgspec.Struct, frozen=True):
    """One thing a playbook shows: its name for agents, its owner and name there, its definition as served."""

    wire: str
    server: str
    item: CatalogueItem
    override: ToolOverride | None = None
    stored: StoredPrompt | None = None
    resource: StoredResource | None = None

    @property
    def exposed(self) -> Exposed:
        """The part that a version pins."""
        return Exposed(server=self.server, name=self.item.name, digest=self.item.digest)


class Collision(msgspec.Struct, frozen=True):
    """Two owners claim one name: `first` keeps it, `second` is hidden."""

    kind: Literal["tool", "prompt", "resource", "template"]
    name: str
    first: Exposed
    second: Exposed

    @property
    def hidden(self) -> Hidden:
        """What the loser of the two is told of."""
        second = self.second
        return Hidden(kind=self.kind, server=second.server, name=second.name, reason="collision", rule=str(self))

    def __str__(self) -> str:
        if self.first.server == self.second.server:
            both = f"{self.first.name!r} and {self.second.name!r} of {_owner(self.first)}"
            return f"{self.kind} {self.name!r} is both {both}"
        return f"{self.kind} {self.name!r} comes from both {_owner(self.first)} and {_owner(self.second)}"


def _owner(exposed: Exposed) -> str:
    return repr(exposed.server or "the playbook")


class Exposure(msgspec.Struct, frozen=True):
    """All that a playbook shows, in the order of its servers, and what could not be shown."""

    tools: dict[str, Entry]
    prompts: dict[str, Entry]
    resources: dict[str, Entry]
    templates: dict[str, Entry]
    collisions: tuple[Collision, ...]
    hidden: tuple[Hidden, ...] = ()


def expose(
    definition: PlaybookDefinition,
    catalogues: Mapping[str, Catalogue],
    pinned: PlaybookContent | None = None,
    layers: Sequence[HeldLayer] = (),
) -> Exposure:
    """What this definition shows of these catalogues and layers. Of two that collide the first keeps the name.

    With the content of a published version each name stays with whom it was published for: what a server offers later
    under the name of another one's tool is hidden, even when that tool is gone. The layers are then those it holds.
    """
    pins = pinned or PlaybookContent(definition=definition)
    standing = layers if pinned is None else pinned.layers or ()
    collisions: list[Collision] = []
    hidden = [*_unused(definition, catalogues), *_left_out(definition, standing)]
    prompts = [*_stored_prompts(definition, standing), *_named("prompts", definition, catalogues, hidden)]
    resources = [*_stored_resources(definition, standing), *_verbatim("resources", definition, catalogues, hidden)]
    templates = _verbatim("templates", definition, catalogues, hidden)
    return Exposure(
        tools=_unique("tool", _named("tools", definition, catalogues, hidden), pins.tools, collisions),
        prompts=_unique("prompt", prompts, pins.prompts, collisions),
        resources=_unique("resource", resources, pins.resources, collisions),
        templates=_unique("template", templates, pins.templates or {}, collisions),
        collisions=tuple(collisions),
        hidden=(*hidden, *(collision.hidden for collision in collisions)),
    )


def content_of(definition: PlaybookDefinition, exposure: Exposure, layers: Sequence[HeldLayer] = ()) -> PlaybookContent:
    """The whole version: the definition, the layers it stands on and the digests of what it exposes."""
    templates = {name: entry.exposed for name, entry in exposure.templates.items()}
    return PlaybookContent(
        definition=definition,
        tools={name: entry.exposed for name, entry in exposure.tools.items()},
        prompts={name: entry.exposed for name, entry in exposure.prompts.items()},
        resources={name: entry.exposed for name, entry in exposure.resources.items()},
        templates=templates or msgspec.UNSET,
        layers=tuple(layers) or msgspec.UNSET,
    )


def _unique(
    kind: Literal["tool", "prompt", "resource", "template"],
    entries: list[Entry] | Iterator[Entry],
    pins: Mapping[str, Exposed],
    collisions: list[Collision],
) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for entry in entries:
        claim = entry.exposed
        pin = pins.get(entry.wire)
        if pin is not None and (pin.server, pin.name) != (claim.server, claim.name):
            collisions.append(Collision(kind, entry.wire, pin, claim))
        elif entry.wire in found:
            collisions.append(Collision(kind, entry.wire, found[entry.wire].exposed, claim))
        else:
            found[entry.wire] = entry
    return found


def _used(
    definition: PlaybookDefinition, catalogues: Mapping[str, Catalogue]
) -> Iterator[tuple[str, PlaybookServer, Catalogue]]:
    for server, use in definition.servers.items():
        catalogue = catalogues.get(server)
        if use.enabled and catalogue is not None:
            yield server, use, catalogue


def _unused(definition: PlaybookDefinition, catalogues: Mapping[str, Catalogue]) -> Iterator[Hidden]:
    for server, use in definition.servers.items():
        if not use.enabled:
            yield Hidden(
                kind="server", server=server, name=server, reason="disabled", rule=f"servers.{server}.enabled: false"
            )
        elif server not in catalogues:
            text = "the server was never reached, or is not registered any more"
            yield Hidden(kind="server", server=server, name=server, reason="not_reached", rule=text)


_KIND: dict[str, Literal["tool", "prompt", "resource", "template"]] = {
    "tools": "tool", "prompts": "prompt", "resources": "resource", "templates": "template",
}  # fmt: skip


def _quarantined(kind: str, server: str, item: CatalogueItem) -> Hidden:
    return Hidden(kind=_KIND[kind], server=server, name=item.name, reason="quarantined", rule=item.problem or "")


def filter_rule(server: str, tool: str, use: PlaybookServer) -> tuple[HiddenReason | None, str]:
    """Why the filters hide a tool (None: they do not), and the rule that decides: its path and pattern."""
    rules = use.tools
    denying = first_match(rules.deny, tool)
    if denying is not None:
        return "denied", f"servers.{server}.tools.deny: {denying}"
    if rules.allow is None:
        return None, ""
    allowing = first_match(rules.allow, tool)
    path = f"servers.{server}.tools.allow"
    return ("not_allowed", path) if allowing is None else (None, f"{path}: {allowing}")


def _named(
    kind: str, definition: PlaybookDefinition, catalogues: Mapping[str, Catalogue], hidden: list[Hidden]
) -> Iterator[Entry]:
    for server, use, catalogue in _used(definition, catalogues):
        prefix = prefix_of(server, use.names)
        items: tuple[CatalogueItem, ...] = getattr(catalogue, kind)
        for item in items:
            if item.problem is not None:
                hidden.append(_quarantined(kind, server, item))
                continue
            if kind == "prompts":
                yield Entry(wire_name(prefix, item.name), server, item)
                continue
            reason, rule = filter_rule(server, item.name, use)
            if reason is None:
                override = override_of(use.tools, item.name)
                shown = override.name or item.name if override is not None else item.name
                yield Entry(wire_name(prefix, shown), server, item, override)
            else:
                hidden.append(Hidden(kind="tool", server=server, name=item.name, reason=reason, rule=rule))


def _verbatim(
    kind: str, definition: PlaybookDefinition, catalogues: Mapping[str, Catalogue], hidden: list[Hidden]
) -> Iterator[Entry]:
    # A URI is an identity that turns up inside results too, so it is never rewritten.
    for server, _, catalogue in _used(definition, catalogues):
        items: tuple[CatalogueItem, ...] = getattr(catalogue, kind)
        for item in items:
            if item.problem is None:
                yield Entry(item.name, server, item)
            else:
                hidden.append(_quarantined(kind, server, item))


def _left_out(definition: PlaybookDefinition, layers: Sequence[HeldLayer]) -> Iterator[Hidden]:
    for one in left_out(definition, layers):
        rule = f"leave_out: {one.pattern}; the layer {one.layer} has it"
        yield Hidden(kind=one.kind, server=STORED, name=one.name, reason="left_out", rule=rule)


def _stored_prompts(definition: PlaybookDefinition, layers: Sequence[HeldLayer]) -> Iterator[Entry]:
    for name, found in prompts_of(definition, layers).items():
        prompt = found.thing
        shown = _told(name=name, title=prompt.title, description=prompt.description)
        if prompt.arguments:
            shown["arguments"] = [msgspec.to_builtins(argument) for argument in prompt.arguments]
        yield Entry(name, STORED, _stored(name, prompt, shown), stored=prompt)


def _stored_resources(definition: PlaybookDefinition, layers: Sequence[HeldLayer]) -> Iterator[Entry]:
    for uri, found in resources_of(definition, layers).items():
        kept = found.thing
        shown = _told(
            uri=uri, name=kept.name or uri, title=kept.title, description=kept.description, mimeType=kept.mime_type
        )
        yield Entry(uri, STORED, _stored(uri, kept, shown), resource=kept)


def _told(**members: str) -> dict[str, object]:
    return {name: value for name, value in members.items() if value}


def _stored(name: str, thing: msgspec.Struct, shown: dict[str, object]) -> CatalogueItem:
    return CatalogueItem(name=name, digest=digest_of_struct(thing), raw=msgspec.Raw(msgspec.json.encode(shown)))


class _Ui(msgspec.Struct, rename="camel"):
    resource_uri: str = ""


class _AppMeta(msgspec.Struct):
    ui: _Ui = msgspec.field(default_factory=_Ui)
    flat: str = msgspec.field(default="", name="ui/resourceUri")


class _AppTool(msgspec.Struct):
    meta: _AppMeta = msgspec.field(default_factory=_AppMeta, name="_meta")


_app_tool = msgspec.json.Decoder(_AppTool).decode


def app_of(entry: Entry) -> str:
    """The URI of the app that a tool is shown with (MCP Apps, `_meta.ui.resourceUri`, once flat); empty for none."""
    raw = bytes(entry.item.raw)
    if b"resourceUri" not in raw:
        return ""
    try:
        meta = _app_tool(raw).meta
    except msgspec.DecodeError:
        return ""
    return meta.ui.resource_uri or meta.flat


def template_pattern(template: str) -> re.Pattern[str]:
    """A regular expression for the expansions of an RFC 6570 template (linear: no nested repeats)."""
    pattern, position = "", 0
    for match in re.finditer(r"\{([+#./;?&]?)([^}]*)\}", template):
        pattern += re.escape(template[position : match.start()])
        operator, names = match.groups()
        if operator in ("?", "&"):
            pattern += r"(?:[?&][^#]*)?"
        elif operator in ("+", "#") or "*" in names:
            pattern += r".*"
        else:
            pattern += r"[^/?#]*"
        position = match.end()
    return re.compile(pattern + re.escape(template[position:]))
