"""What happens to the bytes of a call on the way up and down; pure.

The client's `params` and the upstream's `result` stay the bytes they are: keys are replaced or added beside
them, nothing inside is decoded. Sources: MCP 2025-11-25 and 2026-07-28, basic/index (`_meta`), server/tools.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from callboard.contracts.access import ANONYMOUS_KEY
from callboard.contracts.calls import LISTEN, MODERN, CallHead, Outcome
from callboard.contracts.problems import Problem
from callboard_connectors.sessions.domain import (
    ERA_KEYS,
    META_CAPABILITIES,
    META_CLIENT_INFO,
    META_LOG_LEVEL,
    META_VERSION,
)
from callboard_connectors.sessions.levels import DEFAULT_LEVEL, heard_at
from callboard_connectors.sessions.negotiate import CLIENT_INFO
from callboard_connectors.transports.envelope import NOTHING, Envelope, encode

NAMED_METHODS = frozenset({"tools/call", "prompts/get"})
EXECUTING = "tools/call"
"""The only method that may change something; all others just read."""

_fields: Callable[[bytes | msgspec.Raw], dict[str, Any]] = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
"""The members of an object, each as it came; in what we make of them some are plain data."""
_text = msgspec.json.Decoder(str).decode

_OUR_VERSION = msgspec.Raw(encode(MODERN))
_OUR_INFO = msgspec.Raw(encode(CLIENT_INFO))
_NO_CAPABILITIES = msgspec.Raw(b"{}")


class Built(msgspec.Struct, frozen=True, gc=False):
    """A request for the upstream: its bytes, the client's progress token (raw, or empty), the name it names."""

    message: bytes
    client_token: bytes
    name: str
    arguments: msgspec.Raw | None
    augmented: bool
    """Whether it asks for a task in the manner of 2025-11-25."""


def build_request(head: CallHead, params: bytes, request_id: int, modern: bool, task: str = "") -> Built:
    """The upstream's request out of the client's `params`; raises `Problem("argument.invalid")`.

    `task`: the upstream's id of the task that the request is about.
    """
    try:
        fields = _fields(params) if params else {}
        meta = _fields(raw) if (raw := fields.get("_meta")) is not None else {}
        name = _task(head, fields, task) if task else _name(head, fields)
    except msgspec.DecodeError:
        raise Problem(
            "argument.invalid", "`params`, `_meta` and `ref` are JSON objects", call_id=head.call_id
        ) from None
    if modern != (head.era == MODERN):
        fields.pop("task", None)  # it means something only where both sides speak 2025-11-25
    token = meta.get("progressToken")
    _rewrite_meta(head, meta, request_id, modern)
    if meta:
        fields["_meta"] = meta
    elif raw is not None:
        del fields["_meta"]
    message = encode({"jsonrpc": "2.0", "id": request_id, "method": head.method, "params": fields})
    token = b"" if token is None else bytes(token)
    return Built(message, token, name, fields.get("arguments"), not modern and "task" in fields)


def client_token_of(params: bytes) -> bytes:
    """The client's progress token, raw; empty when it sent none."""
    try:
        meta = _fields(params).get("_meta")
        return b"" if meta is None else bytes(_fields(meta).get("progressToken", b""))
    except msgspec.DecodeError:
        return b""


def _name(head: CallHead, fields: dict[str, Any]) -> str:
    """Put the upstream's own name in; the name (or URI) that the request is about."""
    method = head.method
    if method in NAMED_METHODS:
        fields["name"] = head.upstream_name
        return head.upstream_name
    if method == "resources/read":
        raw = fields.get("uri")
        return head.upstream_name if raw is None else _text(raw)
    if method == "completion/complete" and (raw := fields.get("ref")) is not None:
        ref = _fields(raw)
        if ref.get("type") == msgspec.Raw(b'"ref/prompt"') and head.upstream_name:
            fields["ref"] = {**ref, "name": head.upstream_name}
    return ""


def _task(head: CallHead, fields: dict[str, Any], task: str) -> str:
    """Put the upstream's own id in; what the `Mcp-Name` header mirrors (SEP-2663, routing headers)."""
    if head.method == LISTEN:
        fields["notifications"] = {"taskIds": [task]}
        return ""
    fields["taskId"] = task
    return task


def _rewrite_meta(head: CallHead, meta: dict[str, Any], request_id: int, modern: bool) -> None:
    if head.ask_progress or "progressToken" in meta:
        meta["progressToken"] = request_id
    if modern:
        meta[META_VERSION] = _OUR_VERSION
        meta[META_CLIENT_INFO] = _OUR_INFO
        meta[META_CAPABILITIES] = msgspec.Raw(head.capabilities) if head.capabilities else _NO_CAPABILITIES
        if head.era != MODERN:
            meta[META_LOG_LEVEL] = head.log_level or DEFAULT_LEVEL
    else:
        for key in ERA_KEYS:
            meta.pop(key, None)
    if head.traceparent:
        meta["traceparent"] = head.traceparent


# ------------------------------------------------------------------------------------------ coming back


class _Progress(msgspec.Struct):
    token: msgspec.Raw = msgspec.field(default=NOTHING, name="progressToken")


class _LogMessage(msgspec.Struct):
    level: str = "info"


_progress = msgspec.json.Decoder(_Progress).decode
_log_message = msgspec.json.Decoder(_LogMessage).decode


PROGRESS = "notifications/progress"


def is_progress_of(found: Envelope, our_token: int) -> bool:
    """Whether a progress notification is about the request with this number."""
    try:
        token = bytes(_progress(found.params).token)
    except msgspec.DecodeError:
        return False
    return token in (b"%d" % our_token, b'"%d"' % our_token)


def forwarded(
    head: CallHead, found: Envelope, raw: bytes, our_token: int, client_token: bytes, level: str
) -> bytes | None:
    """A notification as the client gets it, or None when it is not for this client.

    Progress gets the client's token back. Log messages come from `level` up; a stateless client that named none gets
    none, a handshake client gets what its server sends.
    """
    try:
        if found.method == PROGRESS:
            return _mapped_progress(found, raw, our_token, client_token)
        if found.method == "notifications/message" and (level or head.era == MODERN):
            return raw if heard_at(level, _log_message(found.params).level) else None
    except msgspec.DecodeError:
        return None
    return raw


def _mapped_progress(found: Envelope, raw: bytes, our_token: int, client_token: bytes) -> bytes | None:
    if not client_token or not is_progress_of(found, our_token):
        return None
    params = _fields(found.params)
    params["progressToken"] = msgspec.Raw(client_token)
    return encode({"jsonrpc": "2.0", "method": found.method, "params": params})


class _ResultPeek(msgspec.Struct, gc=False):
    result_type: msgspec.Raw = msgspec.field(default=NOTHING, name="resultType")
    is_error: msgspec.Raw = msgspec.field(default=NOTHING, name="isError")
    ttl: msgspec.Raw = msgspec.field(default=NOTHING, name="ttlMs")
    scope: msgspec.Raw = msgspec.field(default=NOTHING, name="cacheScope")


_peek_result = msgspec.json.Decoder(_ResultPeek).decode
_NO_PEEK = _ResultPeek()
_TRUE, _TASK, _PUBLIC = msgspec.Raw(b"true"), msgspec.Raw(b'"task"'), msgspec.Raw(b'"public"')


class Settled(msgspec.Struct, frozen=True, gc=False):
    """A result as the client gets it, and how the call is recorded."""

    body: bytes
    outcome: Outcome
    is_task: bool


def settle(head: CallHead, raw: bytes) -> Settled:
    """Check and complete a result for the client's era.

    Raises `Problem("server.invalid_answer")`: not an object, or not UTF-8.
    """
    if raw[:1] != b"{" or not _is_utf8(raw):
        raise Problem(
            "server.invalid_answer", f"server {head.server!r} answered a result that is not JSON", server=head.server
        )
    peek = _NO_PEEK
    modern_client = head.era == MODERN
    if modern_client or b'"resultType"' in raw or b'"isError"' in raw:
        peek = _peek_result(raw)
    outcome: Outcome = "tool_error" if peek.is_error == _TRUE else "ok"
    return Settled(_completed(head, raw, peek) if modern_client else raw, outcome, peek.result_type == _TASK)


def _completed(head: CallHead, raw: bytes, peek: _ResultPeek) -> bytes:
    """What the stateless revision requires of a result, put in front of what is there."""
    missing = b"" if peek.result_type is not NOTHING else b'"resultType":"complete",'
    if head.method == "resources/read":
        missing += b"" if peek.ttl is not NOTHING else b'"ttlMs":0,'
        missing += b"" if peek.scope is not NOTHING else b'"cacheScope":"private",'
        if peek.scope == _PUBLIC and head.principal != ANONYMOUS_KEY:
            # It took a token to read it, so it is not for everybody.
            raw = encode({**_fields(raw), "cacheScope": "private"})
    return splice(raw, missing) if missing else raw


def splice(raw: bytes, members: bytes) -> bytes:
    """Members (each with its comma) put after the `{` of a JSON object."""
    rest = raw[1:]
    if rest.lstrip()[:1] == b"}":
        members = members[:-1]
    return b"{" + members + rest


def _is_utf8(raw: bytes) -> bool:
    if raw.isascii():
        return True
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


class _CapabilityError(msgspec.Struct, rename="camel"):
    code: int = 0
    message: str = ""
    data: dict[str, msgspec.Raw] | None = None


def capability_error(head: CallHead, error: bytes) -> bytes:
    """A handshake server's "you lack a capability" as the stateless revision says it (-32021); others as they are."""
    if head.era != MODERN or b"requiredCapabilities" not in error or b"-32021" in error:
        return error
    try:
        found = msgspec.json.decode(error, type=_CapabilityError)
    except msgspec.DecodeError:
        return error
    if found.data is None or "requiredCapabilities" not in found.data:
        return error
    return encode({"code": -32021, "message": found.message, "data": found.data})


# ---------------------------------------------------------------------------------------------- endings


class Ended(msgspec.Struct, gc=False):
    """How a call ended: the kind and body of its last message, and what the record says."""

    kind: int
    body: bytes
    outcome: Outcome
    problem: str = ""
    error_code: int | None = None
    upstream_us: int = 0


def lost_call(head: CallHead, reason: str, *, sent: bool) -> Problem:
    """The upstream went away. If the tool may have run, that is the answer: nobody knows, and it is not sent again."""
    if sent and head.method == EXECUTING:
        message = f"server {head.server!r} went away while the tool ran: {reason}"
        return Problem("call.outcome_unknown", message, server=head.server)
    return Problem("server.unavailable", f"server {head.server!r} is not available: {reason}", server=head.server)


def deadline_passed(head: CallHead) -> Problem:
    """The call took as long as a call may take; it was cancelled."""
    allowed = max(0, head.deadline - head.received // 1000) / 1000
    text = f"server {head.server!r} did not answer before the deadline of {allowed:g} s"
    return Problem("call.deadline_exceeded", text, limit="max_seconds", seconds=allowed)


def stayed_idle(head: CallHead) -> Problem:
    """Nothing was heard of the call for as long as it may be silent; it was cancelled."""
    allowed = head.idle_ms / 1000
    text = f"server {head.server!r} neither answered nor reported progress for {allowed:g} s"
    return Problem("call.deadline_exceeded", text, limit="idle_seconds", seconds=allowed)


def said_too_much(head: CallHead) -> Problem:
    """It sent more notifications than anybody can read; it was cancelled."""
    text = f"server {head.server!r} sent too many notifications during one call; the call was ended"
    return Problem("server.too_talkative", text, server=head.server)


def error_body(problem: Problem, head: CallHead) -> bytes:
    """A failure of ours as a JSON-RPC error object."""
    data = {
        "code": problem.code,
        "hint": problem.hint,
        "server": head.server,
        "call_id": head.call_id,
        **problem.data,
    }
    return encode({"code": problem.rpc_code, "message": problem.message, "data": data})


_OUTCOMES: dict[str, Outcome] = {
    "call.deadline_exceeded": "timeout",
    "call.cancelled": "cancelled",
    "call.outcome_unknown": "unknown",
}


def outcome_of(problem: Problem) -> Outcome:
    """How a failure of ours is recorded."""
    return _OUTCOMES.get(problem.code, "error")
