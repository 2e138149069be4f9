"""What makes a server or playbook definition acceptable, each refusal with the path it stands at."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from callboard.contracts.definitions import (
    Deadlines,
    Layer,
    PlaybookDefinition,
    PlaybookServer,
    Recording,
    ServerDefinition,
    StoredPrompt,
    ToolOverride,
    ToolRules,
    UpstreamOAuth,
)
from callboard.kernel.names import is_slug
from callboard.kernel.prompt_template import placeholders

_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,200}")
_TOOL_NAME = re.compile(r"[A-Za-z0-9_./-]{1,64}")
_PREFIX = re.compile(r"[A-Za-z0-9_./-]{1,48}")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")
_OUR_HEADERS = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "connection", "accept", "upgrade"}
)
_NO_URL = "is not an http, https, ws or wss URL"
MAX_SECONDS = 86_400
"""The longest deadline that can be asked for; the edge's own may be shorter."""
MOST_RECORDED = 256 * 1024
"""Arguments and result of a call, with their record, fit one message of the bus."""


class Fault(NamedTuple):
    """One thing that is wrong. `path` is like ("playbooks", "start", "servers", "git")."""

    path: tuple[str, ...]
    message: str


def server_faults(name: str, definition: ServerDefinition) -> Iterator[Fault]:
    """Why this server definition cannot be accepted."""
    at = ("servers", name)
    if not is_slug(name):
        yield Fault(at, f"server name {name!r}: use lower-case letters, digits, - and _ (at most 63)")
    if (definition.url is None) == (definition.command is None):
        yield Fault(at, f"server {name!r} needs either `url` or `command`")
    if definition.url is not None:
        yield from _url_faults(at, definition)
    if definition.command is not None:
        yield from _command_faults(at, definition)
    yield from _server_deadline_faults(at, definition)
    yield from _tenant_faults(at, definition)
    if definition.oauth is not None:
        yield from _oauth_faults((*at, "oauth"), definition, definition.oauth)


def _tenant_faults(at: tuple[str, ...], definition: ServerDefinition) -> Iterator[Fault]:
    header = definition.tenant_header
    if not header:
        return
    taken = {name.lower() for name in definition.headers} | _OUR_HEADERS | {"authorization", "cookie"}
    if definition.url is None:
        yield Fault((*at, "tenant_header"), "`tenant_header` goes with `url`")
    elif not _HEADER_NAME.fullmatch(header) or header.lower() in taken or header.lower().startswith(("mcp-", "sec-")):
        yield Fault((*at, "tenant_header"), f"header {header!r} cannot tell the organisation")


def _oauth_faults(at: tuple[str, ...], definition: ServerDefinition, oauth: UpstreamOAuth) -> Iterator[Fault]:
    if definition.url is None:
        yield Fault(at, "`oauth` goes with `url`; a command gets its secrets through `env`")
    if any(header.lower() == "authorization" for header in definition.headers):
        yield Fault((*at[:-1], "headers"), "`oauth` sets the header Authorization: leave it out of `headers`")
    proved = oauth.client_secret is not None or oauth.private_key is not None
    if proved and not oauth.client_id:
        yield Fault((*at, "client_id"), "`client_secret` and `private_key` go with a `client_id`")
    if oauth.client_secret is not None and oauth.private_key is not None:
        yield Fault((*at, "private_key"), "a client is proved by `client_secret` or by `private_key`: leave one out")
    if oauth.grant == "client_credentials" and not proved:
        yield Fault(
            (*at, "grant"), "`grant: client_credentials` needs `client_id` and `client_secret` or `private_key`"
        )
    if oauth.grant in ("workload", "enterprise") and oauth.assertion is None:
        yield Fault((*at, "assertion"), f"`grant: {oauth.grant}` needs an `assertion`")
    if oauth.grant == "enterprise" and oauth.identity_provider is None:
        yield Fault((*at, "identity_provider"), "`grant: enterprise` needs an `identity_provider`")
    if oauth.grant != "authorization_code" and oauth.credentials == "per_user":
        yield Fault((*at, "credentials"), f"`grant: {oauth.grant}` signs in for all callers: say `credentials: shared`")
    for scope in oauth.scopes:
        if not _SCOPE.fullmatch(scope):
            yield Fault((*at, "scopes"), f"{scope!r} cannot be a scope")


def _server_deadline_faults(at: tuple[str, ...], definition: ServerDefinition) -> Iterator[Fault]:
    older = definition.deadline_seconds
    if older is not None and not 0 < older <= 3600:
        yield Fault((*at, "deadline_seconds"), "`deadline_seconds` is more than 0 and at most 3600")
    if definition.deadlines is not None:
        yield from _deadline_faults((*at, "deadlines"), definition.deadlines)
        if older is not None:
            yield Fault((*at, "deadline_seconds"), "`deadline_seconds` and `deadlines` say the same: leave one out")


def _deadline_faults(at: tuple[str, ...], wanted: Deadlines) -> Iterator[Fault]:
    idle, longest = wanted.idle_seconds, wanted.max_seconds
    if idle is None and longest is None:
        yield Fault(at, "a deadline says `idle_seconds`, `max_seconds` or both")
    for key, seconds in (("idle_seconds", idle), ("max_seconds", longest)):
        if seconds is not None and not 0 < seconds <= MAX_SECONDS:
            yield Fault((*at, key), f"`{key}` is more than 0 and at most {MAX_SECONDS}")
    if idle is not None and longest is not None and idle > longest:
        yield Fault((*at, "idle_seconds"), f"`idle_seconds` {idle:g} is longer than `max_seconds` {longest:g}")


def _command_faults(at: tuple[str, ...], definition: ServerDefinition) -> Iterator[Fault]:
    command = definition.command or ()
    if not command or not all(command):
        yield Fault((*at, "command"), "`command` is a list of at least one word, none of them empty")
    if any("\0" in word for word in command):
        yield Fault((*at, "command"), "a word of `command` holds a NUL character")
    if definition.headers:
        yield Fault((*at, "headers"), "`headers` go with `url`; a command gets `env`")
    if definition.transport != "auto":
        yield Fault((*at, "transport"), "`transport` goes with `url`; a command speaks stdio")
    for name, value in definition.env.items():
        if not name or "=" in name or "\0" in name + (value if isinstance(value, str) else ""):
            yield Fault((*at, "env", name), f"{name!r} cannot be the name of an environment variable")


def _url_faults(at: tuple[str, ...], definition: ServerDefinition) -> Iterator[Fault]:
    try:
        parts = urlsplit(definition.url or "")
        parts.port  # noqa: B018  # a property that raises for a port that cannot be
    except ValueError:
        yield Fault((*at, "url"), f"`url` {definition.url!r} {_NO_URL}")
        return
    if parts.scheme not in ("http", "https", "ws", "wss") or not parts.hostname:
        yield Fault((*at, "url"), f"`url` {definition.url!r} {_NO_URL}")
    elif (parts.scheme in ("ws", "wss")) != definition.is_websocket:
        yield Fault((*at, "transport"), "`transport` websocket needs a ws or wss URL")
    elif definition.is_websocket and definition.transport not in ("auto", "websocket"):
        yield Fault((*at, "transport"), f"`transport` {definition.transport} needs an http or https URL")
    if parts.username or parts.password:
        yield Fault((*at, "url"), "a URL holds no password; use `headers` with a secret reference")
    if definition.env or definition.cwd:
        yield Fault(at, "`env` and `cwd` go with `command`; a URL gets `headers`")
    for header, value in definition.headers.items():
        text = value if isinstance(value, str) else ""
        if not _HEADER_NAME.fullmatch(header) or _CONTROL.search(text):
            yield Fault((*at, "headers", header), f"header {header!r} is not a valid HTTP header")
        elif header.lower() in _OUR_HEADERS or header.lower().startswith("sec-websocket-"):
            yield Fault((*at, "headers", header), f"header {header!r} is set by Callboard itself")


def playbook_faults(name: str, definition: PlaybookDefinition, known_servers: Collection[str]) -> Iterator[Fault]:
    """Why this playbook definition cannot be accepted."""
    at = ("playbooks", name)
    if not is_slug(name):
        yield Fault(at, f"playbook name {name!r}: use lower-case letters, digits, - and _ (at most 63)")
    if not definition.servers and not definition.prompts and not definition.resources:
        yield Fault(at, f"playbook {name!r} needs at least one server, prompt or resource")
    if definition.project and not is_slug(definition.project):
        yield Fault((*at, "project"), f"project {definition.project!r}: use lower-case letters, digits, - and _")
    for field in ("title", "description", "instructions"):
        if "\0" in getattr(definition, field):
            yield Fault((*at, field), f"`{field}` holds a NUL character, which not everybody who reads it can hold")
    for server, use in definition.servers.items():
        where = (*at, "servers", server)
        if server not in known_servers:
            yield Fault(where, f"playbook {name!r} uses server {server!r}, which is not registered")
        yield from _use_faults(where, use)
    yield from _stored_faults(at, definition)
    if definition.record is not None:
        yield from _recording_faults((*at, "record"), definition.record)


def layer_faults(layer: Layer) -> Iterator[Fault]:
    """Why this layer cannot be accepted."""
    yield from _stored_faults((), layer)


def _stored_faults(at: tuple[str, ...], holder: PlaybookDefinition | Layer) -> Iterator[Fault]:
    for name, prompt in holder.prompts.items():
        yield from _prompt_faults((*at, "prompts", name), name, prompt)
    for uri, resource in holder.resources.items():
        where = (*at, "resources", uri)
        if not _URI.fullmatch(uri):
            yield Fault(where, f"resource {uri!r} is no URI: begin with a scheme, like doc://handbook")
        if (resource.text is None) == (resource.blob is None):
            yield Fault(where, f"resource {uri!r} needs either `text` or `blob`")
        if resource.blob is not None and not _is_base64(resource.blob):
            yield Fault((*where, "blob"), f"`blob` of resource {uri!r} is not base64")


def _is_base64(text: str) -> bool:
    try:
        b64decode(text, validate=True)
    except ValueError:
        return False
    return True


def _recording_faults(at: tuple[str, ...], recording: Recording) -> Iterator[Fault]:
    for index, pattern in enumerate(recording.redact):
        if not pattern.startswith(("/arguments", "/result", "/*")):
            message = f"{pattern!r} is no JSON pointer that begins with /arguments, /result or /**"
            yield Fault((*at, "redact", str(index)), message)
    if not 1 <= recording.max_bytes <= MOST_RECORDED:
        yield Fault((*at, "max_bytes"), f"`max_bytes` is at least 1 and at most {MOST_RECORDED}")


def _use_faults(where: tuple[str, ...], use: PlaybookServer) -> Iterator[Fault]:
    if not _PREFIX.fullmatch(use.names):
        text = "`names` is double_underscore, dot, slash, none, or a prefix of at most 48 letters, digits, _ . / -"
        yield Fault((*where, "names"), text)
    for tool, override in use.tools.override.items():
        yield from _override_faults((*where, "tools", "override", tool), tool, override, use.tools)
    renamed = {**use.tools.rename, **{t: o.name for t, o in use.tools.override.items() if o.name is not None}}
    targets = list(renamed.values())
    for target in {t for t in targets if targets.count(t) > 1}:
        yield Fault((*where, "tools", "rename"), f"two tools are renamed to {target!r}")
    for target in targets:
        if not _TOOL_NAME.fullmatch(target):
            message = f"a tool cannot be renamed to {target!r}: letters, digits, _ . / and -, at most 64"
            yield Fault((*where, "tools", "rename"), message)
    for pattern, wanted in use.tools.deadlines.items():
        yield from _deadline_faults((*where, "tools", "deadlines", pattern), wanted)


def _override_faults(at: tuple[str, ...], tool: str, override: ToolOverride, rules: ToolRules) -> Iterator[Fault]:
    if override == ToolOverride():
        yield Fault(at, f"the override of {tool!r} says nothing")
    for key, older, value in (("name", "rename", rules.rename), ("description", "describe", rules.describe)):
        said = getattr(override, key)
        if said is not None and value.get(tool, said) != said:
            yield Fault((*at, key), f"`{older}` says otherwise of {tool!r}: leave one of them out")
    for name in override.defaults.keys() & override.pins.keys():
        yield Fault((*at, "pins", name), f"argument {name!r} of {tool!r} has a default and a pin: leave one out")
    for key, said in override.annotations.items():
        if key.endswith("Hint") and not isinstance(said, bool):
            yield Fault((*at, "annotations", key), f"annotation {key!r} is true or false")


def _prompt_faults(at: tuple[str, ...], name: str, prompt: StoredPrompt) -> Iterator[Fault]:
    declared = {argument.name for argument in prompt.arguments}
    if not name:
        yield Fault(at, "a prompt needs a name")
    for missing in sorted(placeholders(prompt.template) - declared):
        yield Fault((*at, "template"), f"prompt {name!r} uses {{{{{missing}}}}}, which is not in `arguments`")
    if len(declared) != len(prompt.arguments):
        yield Fault((*at, "arguments"), f"prompt {name!r} declares an argument twice")


def all_faults(
    servers: Mapping[str, ServerDefinition],
    playbooks: Mapping[str, PlaybookDefinition],
    registered: Collection[str] = (),
) -> list[Fault]:
    """Every fault of a set of definitions; `registered` are servers that exist already."""
    known = {*servers, *registered}
    faults = [fault for name, server in servers.items() for fault in server_faults(name, server)]
    for name, playbook in playbooks.items():
        faults += playbook_faults(name, playbook, known)
    return faults
