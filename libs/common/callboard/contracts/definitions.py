"""What people define (servers, playbooks, prompts) and what servers say of themselves (catalogues).

Sources: `examples/callboard.yaml` for the file, MCP 2025-11-25 and 2026-07-28 for tool, prompt and
resource definitions, which are kept as the raw JSON bytes the upstream sent.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Access = Literal["token", "anonymous"]
UpstreamTransport = Literal["auto", "streamable", "sse", "websocket"]


class SecretRef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A reference to a secret in the organisation's vault; the value never stands in a definition."""

    secret: str


class Deadlines(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How long a call may take, in seconds; what is left out is decided one level up (tool, server, settings).

    `idle_seconds` runs from the call or its last progress notification, `max_seconds` from the call.
    """

    idle_seconds: float | None = None
    max_seconds: float | None = None


class ServerDefinition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An upstream MCP server: either `url` or `command` (stdio, an argv list).

    `transport` says what is spoken at the `url`: "auto" is WebSocket for ws and wss; for http and https it is
    Streamable HTTP and, where the server does not know that, the HTTP+SSE of 2024-11-05. `deadline_seconds` is the
    older word for `max_seconds` of `deadlines`.
    """

    url: str | None = None
    headers: dict[str, str | SecretRef] = {}
    command: tuple[str, ...] | None = None
    env: dict[str, str | SecretRef] = {}
    cwd: str | None = None
    description: str = ""
    deadline_seconds: float | None = None
    transport: UpstreamTransport = "auto"
    deadlines: Deadlines | None = None

    @property
    def is_stdio(self) -> bool:
        """True when Callboard starts the server as a child process."""
        return self.command is not None

    @property
    def is_websocket(self) -> bool:
        """True when the server is spoken to over WebSocket."""
        return self.transport == "websocket" or (self.url or "").lower().startswith(("ws:", "wss:"))


class ToolOverride(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a playbook says of one tool instead of its server; what is left out is the server's.

    `annotations` replace the server's one by one. `defaults` are given to calls that leave the argument out; `pins` are
    given to all calls, and agents do not see the argument.
    """

    name: str | None = None
    title: str | None = None
    description: str | None = None
    annotations: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    pins: dict[str, Any] = {}


class ToolRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which tools of a server a playbook shows, and how. Globs; deny wins; no `allow` means all.

    All keys are the server's own names. Of the globs in `deadlines` the exact name counts, else the longest. `rename`
    and `describe` are older words for what `override` can say too.
    """

    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] = ()
    rename: dict[str, str] = {}
    describe: dict[str, str] = {}
    deadlines: dict[str, Deadlines] = {}
    override: dict[str, ToolOverride] = {}


class PlaybookServer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One server in a playbook.

    `names`: "prefixed" or "double_underscore" (`server__tool`), "dot" (`server.tool`), "slash" (`server/tool`), "none"
    or "bare" (`tool`), or a prefix of one's own.
    """

    names: str = "prefixed"
    tools: ToolRules = ToolRules()
    enabled: bool = True


class PromptArgument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A declared argument of a stored prompt."""

    name: str
    description: str = ""
    required: bool = False


class StoredPrompt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A prompt that lives in the playbook; `{{name}}` in the template is replaced by the argument."""

    template: str
    title: str = ""
    description: str = ""
    arguments: tuple[PromptArgument, ...] = ()


class StoredResource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A resource that lives in the playbook, under its URI: either `text` or base64 in `blob`."""

    text: str | None = None
    blob: str | None = None
    mime_type: str = ""
    name: str = ""
    title: str = ""
    description: str = ""


LayerScope = Literal["system", "organisation", "project"]


class Layer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What playbooks get without saying so: of the installation, of an organisation, or of one of its projects.

    What is narrower shadows what is broader, name by name and URI by URI: system < organisation < project < playbook.
    """

    instructions: str = ""
    prompts: dict[str, StoredPrompt] = {}
    resources: dict[str, StoredResource] = {}


class HeldLayer(msgspec.Struct, frozen=True, kw_only=True):
    """A layer as it was when a version was published, with the digest of its content."""

    scope: LayerScope
    digest: str
    layer: Layer
    project: str = ""

    @property
    def called(self) -> str:
        """Its name for people: `system`, `organisation` or `project web`."""
        return f"project {self.project}" if self.project else self.scope


class Recording(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a playbook keeps of its calls. What looks like a secret is always taken out, `redact` takes out more.

    `redact` are JSON pointers into `{"arguments": …, "result": …}`, in which `*` stands for one step or a part of it
    and `**` for any number of steps: `/arguments/password`, `/**/email`. What is over `max_bytes` is not kept.
    """

    arguments: bool = False
    results: bool = False
    redact: tuple[str, ...] = ()
    max_bytes: int = 65536


class DriftPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What becomes of a tool or prompt that its server changes, adds or removes after a version pinned it.

    "hold" hides it until somebody approves; with `approver`, the name of a client or the id of a person, only that one
    may.
    """

    changed: Literal["hold", "accept"] = "hold"
    added: Literal["hold", "accept"] = "accept"
    removed: Literal["hold", "accept"] = "accept"
    approver: str = ""


class PlaybookDefinition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a person writes of a playbook: servers by name, filters, stored prompts, who may connect, what is kept.

    `comments`: whether a publish or rollback must say why. What the current version says counts, or for the first
    publish the definition itself. `project` names the layer between the organisation's and the playbook; `leave_out`
    are globs of names and URIs that are not taken from any layer.
    """

    title: str = ""
    description: str = ""
    instructions: str = ""
    access: Access = "token"
    servers: dict[str, PlaybookServer] = {}
    prompts: dict[str, StoredPrompt] = {}
    record: Recording | None = None
    drift: DriftPolicy | None = None
    comments: Literal["required", "optional"] = "required"
    project: str = ""
    resources: dict[str, StoredResource] = {}
    leave_out: tuple[str, ...] = ()

    @property
    def drift_policy(self) -> DriftPolicy:
        """What is said of drift, or the default."""
        return self.drift or DriftPolicy()


class Exposed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One thing that a version exposes: whose it is, its name there, and the SHA-256 of its definition."""

    server: str
    name: str
    digest: str


class PlaybookContent(msgspec.Struct, frozen=True, kw_only=True):
    """A whole version: the definition and the digest of every tool, prompt, resource and template it exposes.

    Keys of the four maps are the names that agents see (for resources: the URI, for templates: theirs). `layers` are
    those that it stands on, the broadest first, whole: a version shows the same whatever becomes of them.
    """

    definition: PlaybookDefinition
    tools: dict[str, Exposed] = {}
    prompts: dict[str, Exposed] = {}
    resources: dict[str, Exposed] = {}
    templates: dict[str, Exposed] | msgspec.UnsetType = msgspec.UNSET
    layers: tuple[HeldLayer, ...] | msgspec.UnsetType = msgspec.UNSET


class CatalogueItem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A tool, prompt, resource or template as the upstream said it (`raw`), with its canonical digest.

    `problem` is set when the definition is not valid: the item is then quarantined, the others are not.
    """

    name: str
    digest: str
    raw: msgspec.Raw
    problem: str | None = None


def _empty_object() -> msgspec.Raw:
    # A factory, because a JSON schema (see `asyncapi`) cannot be made of a raw default.
    return msgspec.Raw(b"{}")


class CacheHint(msgspec.Struct, frozen=True, kw_only=True):
    """What a server said of one of its lists: how long it stays fresh, and whether callers may share it."""

    ttl_ms: int
    scope: Literal["public", "private"]


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """All that a server offered at one discovery, in the order it said it.

    `caching`: "tools" | "prompts" | "resources" | "templates" -> what was said of that list (MCP 2026-07-28).
    """

    era: str
    tools: tuple[CatalogueItem, ...] = ()
    prompts: tuple[CatalogueItem, ...] = ()
    resources: tuple[CatalogueItem, ...] = ()
    templates: tuple[CatalogueItem, ...] = ()
    capabilities: msgspec.Raw = msgspec.field(default_factory=_empty_object)
    server_info: msgspec.Raw = msgspec.field(default_factory=_empty_object)
    instructions: str = ""
    caching: dict[str, CacheHint] | msgspec.UnsetType = msgspec.UNSET
