"""The outside of JSON-RPC messages; what is inside stays the bytes that came. Pure.

Sources: JSON-RPC 2.0 section 4; MCP basic/index (ids are strings or integers), basic/transports (one line each).
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from callboard.contracts.problems import Problem

PARSE_ERROR, INVALID_REQUEST, HEADER_MISMATCH = -32700, -32600, -32020
NOTHING = msgspec.Raw()
_ID = re.compile(rb'"(?:[^"\\]|\\.)*"|-?(?:0|[1-9][0-9]*)')
_encode = msgspec.json.Encoder().encode


class Malformed(Exception):
    """Not one JSON-RPC message; `code` is that of JSON-RPC, `id` the raw id where it could be read."""

    def __init__(self, code: int, message: str, id: bytes = b"null") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.id = id


class Refused(Exception):
    """A request was answered with this raw JSON-RPC error object."""

    def __init__(self, error: bytes) -> None:
        super().__init__("refused")
        self.error = error


class Envelope(msgspec.Struct, frozen=True):
    """A request (method and id), a notification (method) or an answer (result or error)."""

    id: msgspec.Raw = NOTHING
    method: str = ""
    params: msgspec.Raw = NOTHING
    result: msgspec.Raw = NOTHING
    error: msgspec.Raw = NOTHING

    @property
    def raw_id(self) -> bytes:
        """The id as JSON text; empty when there is none."""
        return bytes(self.id)

    @property
    def is_request(self) -> bool:
        """Whether an answer is owed."""
        return bool(self.method and bytes(self.id))

    @property
    def is_answer(self) -> bool:
        """Whether this ends a request."""
        return not self.method and bool(bytes(self.result) or bytes(self.error))

    def answers(self, request_id: bytes) -> bool:
        """Whether this is the answer to that request; an error that names none is, where it came back for it."""
        if not self.is_answer:
            return False
        return bytes(self.id) == request_id or (bytes(self.id) in (b"", b"null") and bool(bytes(self.error)))


class _Meta(msgspec.Struct, frozen=True, rename={"version": "io.modelcontextprotocol/protocolVersion"}):
    version: Any = None


class Params(msgspec.Struct, frozen=True, rename={"meta": "_meta", "task_id": "taskId"}):
    """The members of `params` that become headers."""

    meta: msgspec.Raw = NOTHING
    name: Any = None
    uri: Any = None
    task_id: Any = None
    arguments: msgspec.Raw = NOTHING

    @property
    def version(self) -> str:
        """The revision that a request of the stateless era names in `_meta`; empty in the other era."""
        try:
            found = _meta(self.meta).version if bytes(self.meta) else None
        except msgspec.DecodeError:
            return ""
        return found if isinstance(found, str) else ""


_envelope = msgspec.json.Decoder(Envelope).decode
_many = msgspec.json.Decoder(list[msgspec.Raw]).decode
_meta = msgspec.json.Decoder(_Meta).decode
_params = msgspec.json.Decoder(Params).decode


def parse(line: bytes) -> Envelope:
    """One message of the client; raises `Malformed`."""
    try:
        line.decode()
        found = _envelope(line)
    except msgspec.ValidationError:
        raise Malformed(INVALID_REQUEST, "a line must be one JSON-RPC message object") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Malformed(PARSE_ERROR, "the line is not valid JSON") from None
    if found.raw_id and not _ID.fullmatch(found.raw_id):
        raise Malformed(INVALID_REQUEST, "`id` must be a string or an integer")
    if not found.method and not (found.is_answer and found.raw_id):
        raise Malformed(INVALID_REQUEST, "neither a request, a notification nor a response", found.raw_id or b"null")
    return found


def parse_all(body: bytes) -> list[tuple[Envelope, bytes]]:
    """The messages of an answer of the server (one, or a batch of the older revisions); raises `Malformed`."""
    try:
        body.decode()
        raws = [bytes(raw) for raw in _many(body)] if body.lstrip()[:1] == b"[" else [body]
        found = [(_envelope(raw), raw) for raw in raws]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Malformed(PARSE_ERROR, "not a JSON-RPC message") from None
    if not all(envelope.method or envelope.is_answer for envelope, _ in found):
        raise Malformed(INVALID_REQUEST, "not a JSON-RPC message")
    return found


def params_of(envelope: Envelope) -> Params:
    """What is read of `params`; nothing when they are not an object, which is for the server to refuse."""
    try:
        return _params(envelope.params) if bytes(envelope.params) else Params()
    except msgspec.DecodeError:
        return Params()


def named(envelope: Envelope, raw: bytes, request_id: bytes) -> bytes:
    """The answer with the id of its request: an error may have come without one. Else the bytes as they came."""
    return raw if envelope.raw_id == request_id else error_answer(request_id, bytes(envelope.error))


def error_answer(request_id: bytes, error: bytes) -> bytes:
    """A JSON-RPC error response around a raw error object."""
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (request_id, error)


def error_object(code: int, message: str) -> bytes:
    """A raw error object."""
    return _encode({"code": code, "message": message})


def problem_object(problem: Problem) -> bytes:
    """The raw error object of a problem of ours, in the form the edge gives it."""
    data = {"code": problem.code, "hint": problem.hint, **problem.data}
    return _encode({"code": problem.rpc_code, "message": problem.message, "data": data})


def request(request_id: str, method: str, params: bytes) -> bytes:
    """A request of our own."""
    return b'{"jsonrpc":"2.0","id":%b,"method":%b,"params":%b}' % (_encode(request_id), _encode(method), params)


def notification(method: str, *members: bytes) -> bytes:
    """A notification with raw members (`"key":value`) as its params."""
    present = b",".join(member for member in members if member)
    params = b',"params":{%b}' % present if present else b""
    return b'{"jsonrpc":"2.0","method":%b%b}' % (_encode(method), params)


def member(name: str, value: object) -> bytes:
    """`"name":value` for `notification`; a `msgspec.Raw` stays as it is."""
    return _encode(name) + b":" + _encode(value)
