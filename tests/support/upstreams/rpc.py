"""The MCP messages the cheap test upstreams speak, in both eras, apart from any transport."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import msgspec

MODERN = "2026-07-28"
HANDSHAKE = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
Era = Literal["both", "2025", "2026"]

INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, PARSE_ERROR = -32600, -32601, -32602, -32700
HEADER_MISMATCH, UNSUPPORTED_VERSION = -32020, -32022
HTTP_STATUS = {
    PARSE_ERROR: 400,
    INVALID_REQUEST: 400,
    INVALID_PARAMS: 400,
    HEADER_MISMATCH: 400,
    UNSUPPORTED_VERSION: 400,
    METHOD_NOT_FOUND: 404,
}
SUBSCRIPTION_ID = "io.modelcontextprotocol/subscriptionId"
LIST_CHANGED = "notifications/tools/list_changed"


class Meta(msgspec.Struct):
    version: str | None = msgspec.field(default=None, name="io.modelcontextprotocol/protocolVersion")
    capabilities: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="io.modelcontextprotocol/clientCapabilities")
    token: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="progressToken")


class Arguments(msgspec.Struct):
    """The arguments of every tool of these upstreams; `text` stays raw, so echoing it costs nothing."""

    text: msgspec.Raw = msgspec.Raw()
    seconds: float = 0.0
    bytes: int = 0
    steps: int = 3
    interval: float = 0.0
    name: str = ""
    label: str = ""
    filename: str = ""


class Filter(msgspec.Struct, rename="camel"):
    tools_list_changed: bool = False
    task_ids: list[str] = []


class Params(msgspec.Struct):
    name: str = ""
    arguments: Arguments | None = None
    meta: Meta | None = msgspec.field(default=None, name="_meta")
    cursor: str | None = None
    notifications: Filter | None = None
    protocol_version: str = msgspec.field(default="", name="protocolVersion")
    request_id: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="requestId")
    capabilities: msgspec.Raw = msgspec.Raw()
    uri: str = ""
    task: msgspec.Raw = msgspec.Raw()
    task_id: str = msgspec.field(default="", name="taskId")
    input_responses: dict[str, msgspec.Raw] = msgspec.field(default={}, name="inputResponses")


class Message(msgspec.Struct):
    """A request, a notification (no id) or a response (no method)."""

    method: str = ""
    id: msgspec.Raw = msgspec.Raw()
    params: Params = msgspec.field(default_factory=Params)
    result: msgspec.Raw = msgspec.Raw()

    @property
    def modern(self) -> bool:
        meta = self.params.meta
        return meta is not None and meta.version is not None and self.method != "initialize"


parse = msgspec.json.Decoder(Message).decode
dumps = msgspec.json.Encoder().encode


def success(request_id: bytes | msgspec.Raw, result: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (request_id, result)


def failure(request_id: bytes | msgspec.Raw, code: int, message: str, data: object = None) -> bytes:
    error: dict[str, object] = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (bytes(request_id) or b"null", dumps(error))


def notification(method: str, params: bytes = b"{}") -> bytes:
    return b'{"jsonrpc":"2.0","method":"%b","params":%b}' % (method.encode(), params)


def text_result(text: bytes | msgspec.Raw, failed: bytes = b"false") -> bytes:
    """A tool result with one text block; `text` is a JSON string, quotes included."""
    return b'{"content":[{"type":"text","text":%b}],"isError":%b}' % (text, failed)


def complete(result: bytes, modern: bool, cacheable: bool = False) -> bytes:
    """Add what the 2026 revision requires of a result."""
    if not modern:
        return result
    extra = b'"resultType":"complete",'
    if cacheable:
        extra += b'"ttlMs":0,"cacheScope":"public",'
    return b"{" + (extra + result[1:] if len(result) > 2 else extra[:-1] + b"}")


class Reply:
    """One request in flight. A transport subclasses it with `send`; `cancel` is what a lost client does."""

    __slots__ = ("id", "modern", "on_cancel", "params", "token")

    def __init__(self, message: Message, modern: bool) -> None:
        self.id = message.id
        self.params = message.params
        self.modern = modern
        meta = message.params.meta
        self.token = bytes(meta.token) if meta is not None else b""
        self.on_cancel: Callable[[], None] | None = None

    def send(self, frame: bytes, last: bool, code: int = 0) -> None:
        raise NotImplementedError

    def result(self, body: bytes, cacheable: bool = False) -> None:
        self.send(success(self.id, complete(body, self.modern, cacheable)), True)

    def error(self, code: int, message: str, data: object = None) -> None:
        self.send(failure(self.id, code, message, data), True, code)

    def notify(self, method: str, params: bytes) -> None:
        self.send(notification(method, params), False)

    def progress(self, step: int, total: int) -> None:
        if self.token:
            params = b'{"progressToken":%b,"progress":%d,"total":%d}' % (self.token, step, total)
            self.notify("notifications/progress", params)

    def cancel(self) -> None:
        if self.on_cancel is not None:
            self.on_cancel()


class Tools:
    """What an upstream offers. Subclasses set `tools` and answer `call`."""

    name = "test upstream"
    page_size = 0

    def __init__(self) -> None:
        self.tools: list[dict[str, Any]] = []

    def call(self, name: str, arguments: Arguments, reply: Reply) -> None:
        raise NotImplementedError

    def capabilities(self, modern: bool) -> dict[str, Any]:
        """What is declared in that era."""
        return {"tools": {"listChanged": True}}

    def other(self, message: Message, reply: Reply) -> bool:
        """Answer a request beyond those of tools; whether it was one."""
        return False

    def answered(self, message: Message) -> None:
        """A handshake client answers something that was asked."""

    def follow(self, task_ids: list[str], reply: Reply, subscription: bytes) -> list[str]:
        """A stream wants to hear of these tasks; which of them it will."""
        return []

    def unfollow(self, reply: Reply) -> None:
        """The stream is gone."""

    def page(self, cursor: str | None) -> bytes:
        start = int(cursor) if cursor and cursor.isdigit() else 0
        end = start + self.page_size if self.page_size else len(self.tools)
        listing: dict[str, Any] = {"tools": self.tools[start:end]}
        if end < len(self.tools):
            listing["nextCursor"] = str(end)
        return dumps(listing)


class Peer:
    """Answers every method; keeps the open subscriptions and the streams of handshake clients."""

    def __init__(self, tools: Tools, era: Era = "both") -> None:
        self.tools = tools
        self.era = era
        self.listeners: dict[Reply, bytes] = {}
        self.streams: set[Callable[[bytes], None]] = set()
        self._info = {"name": tools.name, "version": "1.0.0"}

    def dispatch(self, message: Message, reply: Reply) -> None:
        params = message.params
        match message.method:
            case "tools/call":
                self.tools.call(params.name, params.arguments or Arguments(), reply)
            case "tools/list":
                reply.result(self.tools.page(params.cursor), cacheable=True)
            case "initialize" if not reply.modern:
                reply.result(self._initialized(params.protocol_version))
            case "ping" if not reply.modern:
                reply.result(b"{}")
            case "server/discover" if reply.modern:
                reply.result(self._discovered(), cacheable=True)
            case "subscriptions/listen" if reply.modern:
                self._listen(params.notifications or Filter(), reply)
            case _ if not self.tools.other(message, reply):
                reply.error(METHOD_NOT_FOUND, "Method not found")

    def refuse(self, message: Message) -> tuple[int, str, object] | None:
        """Why a message's era is not served here, if it is not."""
        meta = message.params.meta
        if meta is None or meta.version is None or message.method == "initialize":
            if self.era == "2026":
                requested = message.params.protocol_version or HANDSHAKE[-1]
                return UNSUPPORTED_VERSION, "Unsupported protocol version", self._versions(requested)
            return None
        if self.era == "2025":
            return METHOD_NOT_FOUND, "Method not found", None
        if meta.version != MODERN:
            return UNSUPPORTED_VERSION, "Unsupported protocol version", self._versions(meta.version)
        if not bytes(meta.capabilities):
            return INVALID_PARAMS, "_meta lacks io.modelcontextprotocol/clientCapabilities", None
        return None

    def tell(self, session: object, method: str, params: bytes) -> None:
        """Say something to one handshake client, on its stream; None is the client over stdio."""
        for stream in tuple(self.streams):
            if getattr(stream, "__self__", None) is session:
                stream(notification(method, params))

    def tools_changed(self) -> None:
        """Tell everybody who asked that the tool list changed."""
        for reply, subscription in self.listeners.items():
            reply.notify(LIST_CHANGED, b'{"_meta":%b}' % subscription)
        for stream in tuple(self.streams):
            stream(notification(LIST_CHANGED))

    def _versions(self, requested: str) -> object:
        return {"supported": [MODERN], "requested": requested}

    def _initialized(self, requested: str) -> bytes:
        version = requested if requested in HANDSHAKE else HANDSHAKE[-1]
        capabilities = self.tools.capabilities(False)
        return dumps({"protocolVersion": version, "capabilities": capabilities, "serverInfo": self._info})

    def _discovered(self) -> bytes:
        versions = [MODERN] if self.era == "2026" else [MODERN, *reversed(HANDSHAKE)]
        meta = {"io.modelcontextprotocol/serverInfo": self._info}
        capabilities = self.tools.capabilities(True)
        return dumps({"supportedVersions": versions, "capabilities": capabilities, "_meta": meta})

    def _listen(self, wanted: Filter, reply: Reply) -> None:
        subscription = b'{"%b":%b}' % (SUBSCRIPTION_ID.encode(), reply.id)
        heard = self.tools.follow(wanted.task_ids, reply, subscription) if wanted.task_ids else []
        honoured: dict[str, object] = {"toolsListChanged": True} if wanted.tools_list_changed else {}
        if heard:
            honoured["taskIds"] = heard
        ack = b'{"_meta":%b,"notifications":%b}' % (subscription, dumps(honoured))
        reply.notify("notifications/subscriptions/acknowledged", ack)
        if wanted.tools_list_changed:
            self.listeners[reply] = subscription
        if honoured:
            reply.on_cancel = partial(self._unlisten, reply)

    def _unlisten(self, reply: Reply) -> None:
        self.listeners.pop(reply, None)
        self.tools.unfollow(reply)
