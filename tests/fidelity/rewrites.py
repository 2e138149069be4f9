"""Every difference that Callboard may make between what an upstream says and what a client hears, with its reason.

All that is not listed here is the same, byte for byte. Each function takes what was said directly and gives what must
be heard through the gateway. Where an object is rebuilt, its members keep their order and every value its bytes;
white space between the outermost members, and the spelling of their keys, are then not kept.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Literal

from tests.fidelity.exact import member, members, text_of

Era = Literal["2025", "2026"]
Members = list[tuple[str, str]]

_CLIENT = "io.modelcontextprotocol/"
ERA_KEYS = frozenset(_CLIENT + key for key in ("protocolVersion", "clientInfo", "clientCapabilities", "logLevel"))
"""`_meta` keys of requests in the stateless revision: they say who calls, and each side of a gateway is a caller."""
TRACE = "traceparent"
"""Every request that leaves Callboard carries its trace (W3C Trace Context; MCP 2026-07-28, basic/index)."""
# MCP 2026-07-28, basic/transports: the statuses of errors. In the handshake era an error is answered with 200.
STATUS = {-32700: 400, -32600: 400, -32602: 400, -32020: 400, -32021: 400, -32022: 400, -32601: 404}
_LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
_BREAKS = re.compile(r"[\r\n]")
_EVENT_BREAKS = re.compile(rb"\r\n|\r")


def result(direct: bytes, client: Era, method: str) -> bytes:
    """The stateless revision demands `resultType`, and of what can be cached `ttlMs` and `cacheScope`.

    What is missing is put in front. A handshake client gets the bytes as they are: it ignores what it does not know.
    """
    if client == "2025":
        return direct
    said = {key for key, _ in members(direct)}
    added = [] if "resultType" in said else ['"resultType":"complete"']
    if method == "resources/read":
        added += [] if "ttlMs" in said else ['"ttlMs":0']
        added += [] if "cacheScope" in said else ['"cacheScope":"private"']
    if not added:
        return direct
    return b"{" + ",".join(added).encode() + (b"," if said else b"") + direct[1:]


def error(direct: bytes) -> bytes:
    """None: code, message, data and everything else of an error are the upstream's."""
    return direct


def in_events(direct: bytes) -> bytes:
    """Server-sent events know one kind of line break: any other between two tokens becomes that one."""
    return _EVENT_BREAKS.sub(b"\n", direct)


def status(client: Era, error_code: int | None) -> int:
    """The HTTP status follows from the client's era and the error's code, whatever the upstream's status was."""
    return 200 if client == "2025" or error_code is None else STATUS.get(error_code, 200)


def notifications(direct: list[bytes], client: Era, token: str, level: str = "debug") -> list[bytes | Members]:
    """What of the notifications of a call its client hears, in order: bytes, or members where one is rebuilt.

    Progress is rebuilt, because the upstream was given a token of Callboard's own: clients choose theirs freely, and
    two of them may choose the same. A stateless client hears log messages from the level on that its request named
    (MCP 2026-07-28, server/utilities/logging), a handshake client those that its session is set to.
    """
    heard: list[bytes | Members] = []
    for message in direct:
        method, params = text_of(member(message, "method") or b"null"), member(message, "params") or b"{}"
        if method == "notifications/progress":
            heard.append([(key, token if key == "progressToken" else value) for key, value in members(params)])
        elif method != "notifications/message" or client == "2025" or _loud_enough(params, level):
            heard.append(message)
    return heard


def _loud_enough(params: bytes, level: str) -> bool:
    said = text_of(member(params, "level") or b'"info"')
    return said not in _LEVELS or _LEVELS.index(said) >= _LEVELS.index(level)


def definition(direct: bytes, wire: str) -> bytes | Members:
    """A tool or prompt under its name in the playbook: rebuilt when that is another one, else the bytes as they are.

    Resources and templates are never rewritten: a URI is an identity that turns up inside results.
    """
    if text_of(member(direct, "name") or b'""') == wire:
        return direct
    return [(key, json.dumps(wire, ensure_ascii=False) if key == "name" else value) for key, value in members(direct)]


def wire_name(prefix: str, name: str) -> str:
    """The name in a playbook with a prefix; over 64 characters an alias, which more clients accept."""
    full = prefix + name
    if len(full) <= 64:
        return full
    return f"{full[:55]}_{hashlib.sha256(full.encode()).hexdigest()[:8]}"


def params(client: bytes, upstream_name: str | None, *, stdio: bool) -> tuple[Members, Members]:
    """(members of `params`, members of `_meta`) that the upstream must get, apart from the keys of `added_meta`.

    The name is the upstream's own. `params` and `_meta` are rebuilt. Over stdio a line break ends the message, so one
    between two tokens becomes a space.
    """
    expected: Members = []
    meta: Members = []
    for key, value in members(client):
        value = _BREAKS.sub(" ", value) if stdio else value
        if key == "_meta":
            meta = [pair for pair in members(value.encode()) if pair[0] not in ERA_KEYS | {TRACE, "progressToken"}]
        elif key == "name" and upstream_name is not None:
            expected.append((key, json.dumps(upstream_name, ensure_ascii=False)))
        else:
            expected.append((key, value))
    return expected, meta


def added_meta(upstream: Era, *, progress: bool) -> set[str]:
    """The `_meta` keys of a request that are Callboard's: its token, its trace, and who it is in the stateless era."""
    keys = {TRACE} | ({"progressToken"} if progress else set())
    return keys | (ERA_KEYS if upstream == "2026" else set())
