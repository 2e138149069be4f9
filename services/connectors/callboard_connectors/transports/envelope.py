"""The outside of a JSON-RPC message: everything inside stays the bytes that came."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

NOTHING = msgspec.Raw()
METHOD_NOT_FOUND = -32601
UNSUPPORTED_VERSION = -32022


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """A request (id and method), a notification (method), or an answer (id, and result or error)."""

    id: msgspec.Raw = NOTHING
    method: str = ""
    params: msgspec.Raw = NOTHING
    result: msgspec.Raw = NOTHING
    error: msgspec.Raw = NOTHING

    @property
    def is_answer(self) -> bool:
        """Whether this ends a request."""
        return not self.method and (self.result is not NOTHING or self.error is not NOTHING)


class ErrorPeek(msgspec.Struct, frozen=True):
    """What we read of a JSON-RPC error; the error itself travels as it came."""

    code: int = -32603
    message: str = ""
    data: msgspec.Raw = NOTHING


class TooDeep(msgspec.DecodeError):
    """Nested more deeply than what decodes it can follow (somewhat over 900 levels)."""


class _Code(msgspec.Struct):
    code: int = -32603


_decode = msgspec.json.Decoder(Envelope).decode
_code = msgspec.json.Decoder(_Code).decode
_ANSWERED = re.compile(
    rb'\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"id"\s*:\s*"?([0-9]{1,18})"?\s*,\s*"(?:result|error)"'
)
decode_many = msgspec.json.Decoder(list[msgspec.Raw]).decode
peek_error = msgspec.json.Decoder(ErrorPeek).decode
encode = msgspec.json.Encoder().encode


def decode(raw: bytes | msgspec.Raw) -> Envelope:
    """One message. Raises `msgspec.DecodeError`, and of these `TooDeep` when it may well be JSON."""
    try:
        return _decode(raw)
    except RecursionError:
        raise TooDeep from None


def fault_of(error: msgspec.DecodeError) -> str:
    """Why a message could not be decoded, after the words "the server …"."""
    if isinstance(error, TooDeep):
        return "answered JSON that is nested too deeply"
    return "answered something that is not JSON-RPC"


def error_code(error: bytes) -> int:
    """The code of an error object; the one for an internal error when it has none that is a whole number."""
    try:
        return _code(error).code
    except msgspec.DecodeError:
        return -32603


def answered_id(line: bytes) -> int | None:
    """Which request of ours a message answers that cannot be decoded as a whole; None when that is not certain."""
    found = _ANSWERED.match(line)
    return None if found is None else int(found[1])


class RpcRefused(Exception):
    """The upstream answered a request with a JSON-RPC error; `raw` is that error object."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        try:
            self.peek = peek_error(raw)
        except msgspec.DecodeError:
            self.peek = ErrorPeek()
        super().__init__(self.peek.message)


def messages_in(body: bytes) -> Iterable[tuple[Envelope, bytes]]:
    """The messages of a body: one, a batch, or (some servers) one per line. Raises `msgspec.DecodeError`.

    Of several each is decoded when it is its turn, so one that cannot be spoils none before it.
    """
    if body[:1] == b"[":
        return ((decode(raw), bytes(raw)) for raw in decode_many(body))
    try:
        return ((decode(body), body),)
    except msgspec.DecodeError:
        if b"\n" not in body:
            raise
    return ((decode(line), line) for line in body.splitlines() if line.strip())


def is_message(line: bytes) -> bool:
    """Whether this is a whole message of JSON-RPC."""
    try:
        found = decode(line)
    except msgspec.DecodeError:
        return False
    return bool(found.method) or found.is_answer


def answers(envelope: Envelope, request_id: bytes) -> bool:
    """Whether an answer is to this request: its id, as a number or (harmless) as a text.

    An error with no id, or a null one, is to the request it came back for.
    """
    found = bytes(envelope.id)
    if found == request_id or found == b'"%b"' % request_id:
        return True
    return (not found or found == b"null") and bool(bytes(envelope.error))


def request(request_id: int, method: str, params: object) -> bytes:
    """The bytes of a request."""
    return encode({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})


def notification(method: str, params: object | None = None) -> bytes:
    """The bytes of a notification."""
    message: dict[str, object] = {"jsonrpc": "2.0", "method": method}
    if params is not None:
        message["params"] = params
    return encode(message)


def reply_with(envelope: Envelope, outcome: bytes) -> bytes:
    """Our answer to a request of the server: `outcome` is `{"result": …}` or `{"error": …}`."""
    return b'{"jsonrpc":"2.0","id":%b,%b' % (envelope.id, outcome[1:])


def reply_to_server(envelope: Envelope) -> bytes:
    """Our answer to a request of the server: `ping` gets `{}`, anything else we do not offer."""
    if envelope.method == "ping":
        return b'{"jsonrpc":"2.0","id":%b,"result":{}}' % envelope.id
    message = encode(f"Callboard does not offer {envelope.method[:100]} to this server")
    return b'{"jsonrpc":"2.0","id":%b,"error":{"code":-32601,"message":%b}}' % (envelope.id, message)
