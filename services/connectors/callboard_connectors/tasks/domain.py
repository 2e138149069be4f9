"""Where task ids stand in messages, and how one is put in place of the other; pure.

Sources: the tasks extension of MCP 2026-07-28 (SEP-2663), MCP 2025-11-25 basic/utilities/tasks. Whatever stands beside
an id keeps the bytes it has.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from callboard.contracts.calls import LISTEN, TASK_METHODS
from callboard_connectors.transports.envelope import decode, encode

NEWS = "notifications/tasks"
"""Of the extension; 2025-11-25 says `notifications/tasks/status`."""
ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
_RELATED = "io.modelcontextprotocol/related-task"

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_text = msgspec.json.Decoder(str).decode


class TaskIds(NamedTuple):
    """The two names of one task: the upstream's own, and the one that the client has."""

    theirs: str
    ours: str

    @property
    def reversed(self) -> TaskIds:
        """For the way up."""
        return TaskIds(self.ours, self.theirs)


class _Task(msgspec.Struct, rename="camel"):
    task_id: str = ""


class _Created(msgspec.Struct, rename="camel"):
    result_type: str = ""
    task_id: str = ""
    task: _Task | None = None


class _Listening(msgspec.Struct, rename="camel"):
    task_ids: list[str] = []


class _Params(msgspec.Struct, rename="camel"):
    task_id: str = ""
    notifications: _Listening | None = None


_created = msgspec.json.Decoder(_Created).decode
_params = msgspec.json.Decoder(_Params).decode
_listening = msgspec.json.Decoder(_Listening).decode


def is_about_a_task(method: str) -> bool:
    """Whether the request names a task."""
    return method in TASK_METHODS or method == LISTEN


def named_in(params: bytes) -> str:
    """The task that a request is about; empty when it names none. Raises `msgspec.DecodeError`."""
    found = _params(params)
    if found.notifications is None:
        return found.task_id
    return found.notifications.task_ids[0] if found.notifications.task_ids else ""


def created(result: bytes) -> str:
    """The upstream's id of the task that a result announces; empty when it announces none."""
    try:
        found = _created(result)
    except msgspec.DecodeError:
        return ""
    if found.result_type == "task":
        return found.task_id
    return found.task.task_id if found.task is not None else ""


def renamed(members: bytes | msgspec.Raw, ids: TaskIds) -> bytes:
    """A `result` or `params` with the one id in place of the other, wherever a task is named in it."""
    fields: dict[str, object] = dict(_fields(members))
    changed = _put(fields, "taskId", ids)
    for path in (("task",), ("_meta", _RELATED)):
        inner = _changed_inside(fields.get(path[0]), (*path[1:], "taskId"), ids)
        if inner is not None:
            fields[path[0]] = inner
            changed = True
    return encode(fields) if changed else bytes(members)


def _changed_inside(raw: object, path: tuple[str, ...], ids: TaskIds) -> dict[str, object] | None:
    """The object with the id at this path replaced; None when it does not stand there."""
    if not isinstance(raw, msgspec.Raw) or bytes(raw)[:1] != b"{":
        return None
    fields: dict[str, object] = dict(_fields(raw))
    if len(path) == 1:
        return fields if _put(fields, path[0], ids) else None
    inner = _changed_inside(fields.get(path[0]), path[1:], ids)
    return None if inner is None else {**fields, path[0]: inner}


def _put(fields: dict[str, object], key: str, ids: TaskIds) -> bool:
    raw = fields.get(key)
    if not isinstance(raw, msgspec.Raw) or bytes(raw)[:1] != b'"' or _text(raw) != ids.theirs:
        return False
    fields[key] = ids.ours
    return True


def news(method: str, body: bytes, ids: TaskIds | None) -> bytes | None:
    """A notification as the client gets it; None for one about a task that this client has no name for."""
    about_a_task = method.startswith(NEWS)
    if ids is None:
        return None if about_a_task else body
    try:
        params = decode(body).params
        if not bytes(params):
            return body
        if about_a_task and named_in(params) != ids.theirs:
            return None
        told = _acknowledged(params, ids) if method == ACKNOWLEDGED else renamed(params, ids)
    except msgspec.DecodeError:
        return None
    return encode({"jsonrpc": "2.0", "method": method, "params": msgspec.Raw(told)})


def _acknowledged(params: msgspec.Raw, ids: TaskIds) -> bytes:
    fields: dict[str, object] = dict(_fields(params))
    agreed = fields.get("notifications")
    heard = isinstance(agreed, msgspec.Raw) and ids.theirs in _listening(agreed).task_ids
    return encode({**fields, "notifications": {"taskIds": [ids.ours]} if heard else {}})
