"""The messages of the call path (edge > router > connector > edge) and the call record.

Wire form: 4 bytes big-endian length, that many bytes of MessagePack (the head), then the body: the raw
JSON the client or upstream sent. A payload prefix costs a third of what NATS headers cost. Heads are
arrays, so a new field goes at the end and has a default.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec

from callboard.contracts.personal import Personal

Outcome = Literal["ok", "tool_error", "error", "refused", "timeout", "cancelled", "unknown"]

MODERN = "2026-07-28"
"""The stateless revision; every other known revision begins with a handshake."""
LEGACY = "2025-11-25"
"""The newest revision with a handshake."""
HANDSHAKE_VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", LEGACY)


class RpcHead(msgspec.Struct, frozen=True, array_like=True):
    """edge > router on `cb.rpc.<organisation>.<playbook>`; the body is the raw `params`.

    `deadline` is in epoch milliseconds, `received` in epoch microseconds. `request_id` is the client's
    JSON-RPC id as raw JSON text. `version` 0 means the current one. `param_headers`: the `Mcp-Param-*` headers of
    a request of the stateless era; None where its carrier has no headers (WebSocket), and in the other era.
    `selection`: the request is to all playbooks that these globs select (`kernel.permissions.selection_of`), and the
    subject names `subjects.SEVERAL`. `replay_of` names the recorded call that an operator runs again; no client can
    set it. `reached`: the `seq` of the organisation's log that agents of this edge were told of; the answer comes from
    no earlier state. `member`, `address` and `oauth_client` are the caller's, for policies and limits; empty
    where there is none. `scopes`: the highest scope (`kernel.access_tokens.SCOPES`) of what the caller may do here, and
    the highest of what it could get by signing in anew; empty texts for none.
    """

    call_id: str
    method: str
    era: str
    client: str
    principal: str
    deadline: int
    received: int
    request_id: str = ""
    session: str = ""
    version: int = 0
    traceparent: str = ""
    capabilities: bytes = b"{}"
    client_info: bytes = b"{}"
    log_level: str = ""
    anonymous: bool = False
    param_headers: dict[str, str] | None = None
    selection: str = ""
    replay_of: str = ""
    reached: int = 0
    member: str = ""
    address: str = ""
    oauth_client: str = ""
    scopes: tuple[str, str] = ("", "")


class CallHead(msgspec.Struct, frozen=True, array_like=True):
    """router > connector on `cb.call.<organisation>.<server>`; the body is the raw `params`.

    The connector answers `reply_to` directly, so the result does not pass through the router. `deadline` is the end
    of the call whatever happens; `idle_ms` ends it sooner when nothing is heard of it, every progress notification
    beginning that time anew (0: no such limit). `ask_progress`: ask the upstream for progress although the client
    does not want to hear of it. `recording` is what the playbook keeps of arguments and results (a
    `definitions.Recording`, packed); empty: nothing.
    """

    call_id: str
    method: str
    organisation: str
    playbook: str
    version: int
    server: str
    upstream_name: str
    wire_name: str
    digest: str
    reply_to: str
    era: str
    client: str
    principal: str
    deadline: int
    received: int
    routed: int
    request_id: str = ""
    session: str = ""
    traceparent: str = ""
    capabilities: bytes = b"{}"
    client_info: bytes = b"{}"
    log_level: str = ""
    idle_ms: int = 0
    ask_progress: bool = False
    replay_of: str = ""
    recording: bytes = b""


RESULT, ERROR, NOTIFICATION, CHUNK, REQUEST, PAUSED = 0, 1, 2, 3, 4, 5


class ReplyHead(msgspec.Struct, frozen=True, array_like=True):
    """connector or router > edge, on the inbox of the call.

    `kind` RESULT: the body is the raw `result`. ERROR: a raw JSON-RPC error object. NOTIFICATION: a whole
    raw JSON-RPC notification. CHUNK: a piece of the RESULT, ERROR or NOTIFICATION that follows, for bodies over the
    bus's limit.
    REQUEST: a whole JSON-RPC request to a handshake client; its id is a question token (see `AnswerHead`).
    PAUSED: the upstream closed its stream, to be asked again; the body is the milliseconds it named, as digits.
    RESULT and ERROR are the last message of a call. `problem` is Callboard's code when the error is ours.
    """

    call_id: str
    kind: int
    problem: str = ""
    served_version: int = 0


class AnswerHead(msgspec.Struct, frozen=True, array_like=True):
    """edge > connector on `cb.answer.<worker>`: what a handshake client answered; the body is its raw message.

    `token` is the JSON-RPC id of the question, `cb.<worker>.<nonce>`, so that any edge knows who asked.
    """

    token: str
    session: str
    principal: str


class PostedHead(msgspec.Struct, frozen=True, array_like=True):
    """edge > the edge that holds the stream, on `cb.posted.<holder>`; the body is the raw message of the client.

    `session` is the id of an HTTP+SSE session, `principal` the key id of the token it was posted with; the rest is
    the playbook of the path. The answer is empty when the message was taken, else a problem.
    """

    session: str
    principal: str
    organisation: str
    playbook: str
    version: int


HELD_PREFIX = "cb1."
"""Begins every `requestState` of ours: `cb1.<worker>.<sealed>`."""


def holder_of(state: str) -> str | None:
    """Which worker holds the call of a `requestState`; None for one that is the upstream's own."""
    if not state.startswith(HELD_PREFIX):
        return None
    return state[len(HELD_PREFIX) :].partition(".")[0]


def question_token(worker: str, nonce: str) -> str:
    """The id of a question that this worker asks."""
    return f"cb.{worker}.{nonce}"


def worker_of(token: str) -> str | None:
    """Which worker asked; None for an id that is no question of ours."""
    parts = token.split(".")
    return parts[1] if len(parts) == 3 and parts[0] == "cb" and parts[1] else None


TASK_METHODS = frozenset({"tasks/get", "tasks/result", "tasks/update", "tasks/cancel"})
"""Requests about a task that a call left behind."""
LISTEN = "subscriptions/listen"
"""On the call path: a request for the notifications of one task, held open until it ends."""
TASK_PREFIX = "cbt2."
"""Begins every task id of ours: `cbt2.<playbook>.<server>.<worker, or ->.<tool>.<sealed>`.

`cbt1.` began those without the tool, which are unknown now.
"""


class TaskOwner(NamedTuple):
    """What a task id says in the clear: which playbook, server and tool (by its server's name) made the task.

    `holder` is the worker whose session made it, empty when any may be asked.
    """

    playbook: str
    server: str
    holder: str
    tool: str


def task_id(owner: TaskOwner, sealed: str) -> str:
    """The id that clients get."""
    return f"{TASK_PREFIX}{owner.playbook}.{owner.server}.{owner.holder or '-'}.{_in_an_id(owner.tool)}.{sealed}"


def task_owner(id: str) -> TaskOwner | None:
    """Whose a task id of ours says it is (it is not opened here); None for any other id."""
    parts = id[len(TASK_PREFIX) :].split(".")
    if not id.startswith(TASK_PREFIX) or len(parts) != 5 or not all(parts):
        return None
    playbook, server, holder, encoded, _ = parts
    try:
        tool = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True).decode()
    except ValueError:
        return None
    if _in_an_id(tool) != encoded:
        return None  # another spelling of the same is none of ours
    return TaskOwner(playbook, server, "" if holder == "-" else holder, tool)


def _in_an_id(tool: str) -> str:
    return base64.urlsafe_b64encode(tool.encode()).decode().rstrip("=")


class CancelCall(msgspec.Struct, frozen=True, kw_only=True, tag="call.cancel", tag_field="type"):
    """Broadcast on `cb.cancel`: stop a call, by its id or by the client's session and request id."""

    call_id: str = ""
    session: str = ""
    request_id: str = ""
    reason: str = ""


class AskCallHeld(msgspec.Struct, frozen=True, kw_only=True, tag="call.held?", tag_field="type"):
    """Broadcast on `cb.ask.call_held`: whoever still works on the call says so; silence means it is lost."""

    call_id: str


class CallContent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a playbook that records them keeps of a call, redacted. `arguments` are those that the client sent.

    `redacted` are JSON pointers of what was taken out, like `/arguments/password`; `omitted` says what was too large
    (`arguments`, `result`).
    """

    arguments: Any = None
    result: Any = None
    redacted: tuple[str, ...] = ()
    omitted: tuple[str, ...] = ()


class CallRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="call.v1", tag_field="type"):
    """One finished call on `cb.calls.<organisation>.<playbook>`: what ran under which version, and how.

    A message holds one or more of them, one per line (see `record_lines`).
    Latencies are microseconds: `router_us` from the edge's receipt to the router's hand-over, `connector_us` from
    there until a connector took it, `upstream_us` in the connector and the upstream, `total_us` from the edge's receipt
    to the answer. `replay_of` is the call that an operator ran again with this one; such calls are no agent's.
    """

    call_id: str
    organisation: str
    playbook: str
    version: int
    method: str
    server: str
    tool: str
    upstream_name: str
    digest: str
    client: Personal
    principal: str
    era: str
    upstream_era: str = ""
    outcome: Outcome
    error_code: int | None = None
    problem: str = ""
    started_at: datetime
    router_us: int = 0
    upstream_us: int = 0
    total_us: int = 0
    request_bytes: int = 0
    response_bytes: int = 0
    trace_id: str = ""
    connector: str = ""
    connector_us: int = 0
    replay_of: str = ""
    content: CallContent | None = None


Head = TypeVar("Head", bound=msgspec.Struct)

_pack = msgspec.msgpack.Encoder().encode
_unpack_rpc = msgspec.msgpack.Decoder(RpcHead).decode
_unpack_call = msgspec.msgpack.Decoder(CallHead).decode
_unpack_reply = msgspec.msgpack.Decoder(ReplyHead).decode
_unpack_answer = msgspec.msgpack.Decoder(AnswerHead).decode
_unpack_posted = msgspec.msgpack.Decoder(PostedHead).decode


def frame(head: msgspec.Struct, body: bytes) -> bytes:
    """Head and body as one payload."""
    packed = _pack(head)
    return len(packed).to_bytes(4, "big") + packed + body


def _split(data: bytes) -> tuple[bytes, bytes]:
    # Cut out and not viewed: a view costs more than the few hundred bytes of a head.
    end = 4 + int.from_bytes(data[:4], "big")
    return data[4:end], data[end:]


def unframe_rpc(data: bytes) -> tuple[RpcHead, bytes]:
    """Decode a payload of `cb.rpc.*`."""
    head, body = _split(data)
    return _unpack_rpc(head), body


def unframe_call(data: bytes) -> tuple[CallHead, bytes]:
    """Decode a payload of `cb.call.*`."""
    head, body = _split(data)
    return _unpack_call(head), body


def unframe_reply(data: bytes) -> tuple[ReplyHead, bytes]:
    """Decode a payload that came to a call's inbox."""
    head, body = _split(data)
    return _unpack_reply(head), body


def unframe_answer(data: bytes) -> tuple[AnswerHead, bytes]:
    """Decode a payload of `cb.answer.*`."""
    head, body = _split(data)
    return _unpack_answer(head), body


def unframe_posted(data: bytes) -> tuple[PostedHead, bytes]:
    """Decode a payload of `cb.posted.*`."""
    head, body = _split(data)
    return _unpack_posted(head), body


def frames(head: ReplyHead, body: bytes, limit: int) -> Iterator[bytes]:
    """The payloads of one answer: CHUNKs of at most `limit` bytes of body, then the last one under `head`."""
    start = 0
    while len(body) - start > limit:
        yield frame(ReplyHead(head.call_id, CHUNK), body[start : start + limit])
        start += limit
    yield frame(head, body[start:] if start else body)


decode_record = msgspec.json.Decoder(CallRecord).decode
encode_record = msgspec.json.Encoder().encode


def record_lines(data: bytes) -> list[bytes]:
    """The records of a message of `cb.calls.*`, still encoded: one or more, one per line, as https://jsonlines.org."""
    return data.removesuffix(b"\n").split(b"\n")
