"""A POST body as one JSON-RPC message: the envelope is decoded, `params` and `id` stay the raw bytes they were.

Pure. Sources: JSON-RPC 2.0 section 4; MCP basic/index (ids are strings or integers, never null; no batches).
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

PARSE_ERROR, INVALID_REQUEST = -32700, -32600
_ID = re.compile(rb'"(?:[^"\\]|\\.)*"|-?(?:0|[1-9][0-9]{0,17})')


class Refused(Exception):
    """The body is not one JSON-RPC message; `id` is its raw id where that could be read."""

    def __init__(self, code: int, message: str, id: bytes = b"null") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.id = id


class Message(msgspec.Struct):
    """One message: a request has method and id, a notification only method, a response only id."""

    jsonrpc: Any = None
    id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    method: Any = None
    params: msgspec.Raw = msgspec.Raw(b"{}")
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET

    @property
    def raw_id(self) -> bytes:
        """The id as JSON text; `null` when there is none."""
        return bytes(self.id) if self.id is not msgspec.UNSET else b"null"

    @property
    def is_request(self) -> bool:
        """Whether an answer is owed."""
        return self.method is not None and self.id is not msgspec.UNSET

    @property
    def is_response(self) -> bool:
        """Whether this answers a request of ours."""
        return self.method is None

    def outcome(self) -> bytes:
        """Of a response: `{"result": …}` or `{"error": …}`, the bytes as they came."""
        if self.error is not msgspec.UNSET:
            return b'{"error":' + bytes(self.error) + b"}"
        return b'{"result":' + (bytes(self.result) if self.result is not msgspec.UNSET else b"{}") + b"}"


_decode = msgspec.json.Decoder(Message).decode
_read = msgspec.json.Decoder().decode
_written = msgspec.json.Encoder().encode
_SHORT = 16 * 1024
"""Bytes of a body that is read as a whole and written again; what that costs in time and memory is up to its sender."""


def _has_every_key_once(body: bytes) -> bool:
    """Whether the body is, byte for byte, what one gets who writes what it reads; then nothing is in it twice.

    Short compact JSON passes here, at a third of what the look at each object costs. False says nothing.
    """
    try:
        return len(body) <= _SHORT and _written(_read(body)) == body
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False


def _no_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len(pairs) > 1 and len({key for key, _ in pairs}) != len(pairs):
        raise _DuplicateKey


class _DuplicateKey(Exception):
    pass


# Only keys are looked at: numbers of any length stay text.
_strict = json.JSONDecoder(object_pairs_hook=_no_duplicates, parse_int=len, parse_float=len).decode


def parse(body: bytes) -> Message:
    """One message, or `Refused`.

    Duplicate keys are refused at every depth: parsers disagree on which one counts, and what was checked here must
    be what the upstream reads.
    """
    try:
        message = _decode(body)
        if not _has_every_key_once(body):
            _strict(body.decode())
    except _DuplicateKey:
        raise Refused(INVALID_REQUEST, "a key stands twice in the same object") from None
    except msgspec.ValidationError:
        raise Refused(INVALID_REQUEST, "the body must be a single JSON-RPC message object") from None
    except RecursionError:
        raise Refused(PARSE_ERROR, "the body is nested too deeply") from None
    except (msgspec.DecodeError, ValueError):
        raise Refused(PARSE_ERROR, "the body is not valid JSON") from None
    return _checked(message)


def _checked(message: Message) -> Message:
    if message.id is not msgspec.UNSET and not _ID.fullmatch(bytes(message.id)):
        raise Refused(INVALID_REQUEST, "`id` must be a string or an integer")
    if message.jsonrpc != "2.0":
        raise Refused(INVALID_REQUEST, '`jsonrpc` must be "2.0"', message.raw_id)
    if message.method is None:
        if message.id is msgspec.UNSET or (message.result is message.error is msgspec.UNSET):
            raise Refused(INVALID_REQUEST, "neither a request, a notification nor a response", message.raw_id)
        return message
    if not isinstance(message.method, str):
        raise Refused(INVALID_REQUEST, "`method` must be a string", message.raw_id)
    if bytes(message.params)[:1] != b"{":
        raise Refused(INVALID_REQUEST, "`params` must be an object", message.raw_id)
    return message


class Meta(
    msgspec.Struct,
    rename={
        "protocol_version": "io.modelcontextprotocol/protocolVersion",
        "client_info": "io.modelcontextprotocol/clientInfo",
        "client_capabilities": "io.modelcontextprotocol/clientCapabilities",
        "log_level": "io.modelcontextprotocol/logLevel",
    },
):
    """The keys of `params._meta` that the edge reads."""

    protocol_version: Any = msgspec.UNSET
    client_info: msgspec.Raw = msgspec.Raw(b"{}")
    client_capabilities: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    log_level: Any = ""
    traceparent: Any = ""


class Params(msgspec.Struct, rename={"meta": "_meta", "task_id": "taskId"}):
    """The members of `params` that the edge reads."""

    meta: Meta | msgspec.UnsetType | None = msgspec.UNSET
    name: Any = None
    uri: Any = None
    task_id: Any = None


_params = msgspec.json.Decoder(Params).decode


def read_params(message: Message) -> Params:
    """What the edge needs of `params`; `Refused` (-32602) when `_meta` is not an object."""
    try:
        return _params(message.params)
    except msgspec.ValidationError:
        raise Refused(-32602, "`params._meta` must be an object", message.raw_id) from None


def carry_on(params: Params, traceparent: bytes) -> None:
    """The trace of the HTTP request, for a message that names none itself: `_meta` says whose work it is (SEP-414)."""
    if isinstance(params.meta, Meta):
        params.meta.traceparent = params.meta.traceparent or traceparent.decode("latin-1")
    else:
        params.meta = Meta(traceparent=traceparent.decode("latin-1"))
