"""The fixture of the official conformance suite, on the official SDK, in both eras.

    python -m tests.support.upstreams.everything --transport http --port 0 [--era both|2025|2026] [--sloppy]
    python -m tests.support.upstreams.everything --transport stdio|sse|websocket [--era both|2025|2026]

`sse` is the older HTTP+SSE with its stream at /sse, only for the handshake era. Over HTTP the endpoint is /mcp,
results come as SSE with event ids, and streams can be resumed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import socket
import warnings
from collections import deque
from collections.abc import Sequence
from contextvars import ContextVar
from functools import partial

import anyio
import mcp_types as types
import uvicorn
from mcp import MCPError
from mcp.server.caching import CacheableMethod, CacheHint
from mcp.server.context import CallNext, HandlerResult
from mcp.server.lowlevel.server import NotificationOptions, Server
from mcp.server.models import InitializationOptions
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.runner import serve_loop
from mcp.server.sse import SseServerTransport
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http import GET_STREAM_KEY, EventCallback, EventMessage, EventStore
from mcp.server.subscriptions import ListenHandler
from mcp.shared._context_streams import create_context_streams
from mcp.shared._stream_protocols import ReadStream, WriteStream
from mcp.shared.exceptions import MCPDeprecationWarning
from mcp.shared.message import ServerMessageMetadata, SessionMessage
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from tests.support.upstreams import wire
from tests.support.upstreams.everything_call import (
    BEGUN,
    Answers,
    Board,
    Call,
    Context,
    InputNeeded,
    plain,
    session_key,
)
from tests.support.upstreams.everything_data import (
    EXTRA_PROMPT,
    PROMPTS,
    RESOURCES,
    TEMPLATES,
    complete,
    prompt_messages,
    read,
)
from tests.support.upstreams.everything_sloppy import Sloppy
from tests.support.upstreams.everything_tools import EXTRA_TOOL, TOOLS, text
from tests.support.upstreams.pipes import announced

# Not a secret: replicas of this fixture share it, so that any of them can go on with a call.
_STATE_KEY = "a fixed key of a test fixture, 32 bytes or more"
_RETRY_MILLISECONDS = 100
_STORED_EVENTS = 10_000
_SESSION_HEADER = b"mcp-session-id"
_session: ContextVar[object] = ContextVar("session")
_HINTS: dict[CacheableMethod, CacheHint] = {
    "tools/list": CacheHint(0, "public"),
    "prompts/list": CacheHint(0, "public"),
    "resources/list": CacheHint(5_000, "public"),
    "resources/templates/list": CacheHint(60_000, "public"),
    "resources/read": CacheHint(0, "private"),
}


class Everything(Server[dict[str, object]]):
    """A server that says in both eras that its lists can change."""

    def create_initialization_options(
        self,
        notification_options: NotificationOptions | None = None,
        experimental_capabilities: dict[str, dict[str, object]] | None = None,
        extensions: dict[str, dict[str, object]] | None = None,
    ) -> InitializationOptions:
        changing = notification_options or NotificationOptions(True, True, True)
        return super().create_initialization_options(changing, experimental_capabilities, extensions)


class Handlers:
    """Every request of the protocol, as the SDK wants it."""

    def __init__(self, board: Board) -> None:
        self.board = board

    async def list_tools(self, context: Context, params: object) -> types.ListToolsResult:
        tools = [tool for tool, _ in TOOLS.values()]
        return types.ListToolsResult(tools=[*tools, EXTRA_TOOL] if self.board.extra_tool else tools)

    async def call_tool(
        self, context: Context, params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        call = self._call(context, params, params.arguments)
        try:
            if params.name in TOOLS:
                return await TOOLS[params.name][1](call)
        except InputNeeded as needed:
            return needed.result
        if params.name == EXTRA_TOOL.name and self.board.extra_tool:
            return text("Still here")
        raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name}")

    async def list_prompts(self, context: Context, params: object) -> types.ListPromptsResult:
        return types.ListPromptsResult(prompts=[*PROMPTS, EXTRA_PROMPT] if self.board.extra_prompt else PROMPTS)

    async def get_prompt(
        self, context: Context, params: types.GetPromptRequestParams
    ) -> types.GetPromptResult | types.InputRequiredResult:
        try:
            messages = await prompt_messages(params.name, self._call(context, params, params.arguments))
        except InputNeeded as needed:
            return needed.result
        if messages is None:
            raise MCPError(types.INVALID_PARAMS, f"Unknown prompt: {params.name}")
        return types.GetPromptResult(messages=messages)

    async def list_resources(self, context: Context, params: object) -> types.ListResourcesResult:
        return types.ListResourcesResult(resources=RESOURCES)

    async def list_templates(self, context: Context, params: object) -> types.ListResourceTemplatesResult:
        return types.ListResourceTemplatesResult(resource_templates=TEMPLATES)

    async def read(self, context: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        content = read(params.uri, self.board.revision)
        if content is None:
            modern = context.protocol_version in MODERN_PROTOCOL_VERSIONS
            raise MCPError(types.INVALID_PARAMS if modern else -32002, "Resource not found", {"uri": params.uri})
        return types.ReadResourceResult(contents=[content])

    async def subscribe(self, context: Context, params: types.SubscribeRequestParams) -> types.EmptyResult:
        self.board.watched.setdefault(session_key(context), set()).add(params.uri)
        return types.EmptyResult()

    async def unsubscribe(self, context: Context, params: types.UnsubscribeRequestParams) -> types.EmptyResult:
        self.board.watched.get(session_key(context), set()).discard(params.uri)
        return types.EmptyResult()

    async def complete(self, context: Context, params: types.CompleteRequestParams) -> types.CompleteResult:
        values = complete(params)
        return types.CompleteResult(completion=types.Completion(values=values, total=len(values), has_more=False))

    async def set_level(self, context: Context, params: types.SetLevelRequestParams) -> types.EmptyResult:
        self.board.levels[session_key(context)] = params.level
        return types.EmptyResult()

    async def initialized(self, context: Context, params: types.NotificationParams) -> None:
        self.board.sessions[session_key(context)] = context.session

    def _call(self, context: Context, params: types.InputResponseRequestParams, arguments: object) -> Call:
        answers: Answers = {key: plain(answer) for key, answer in (params.input_responses or {}).items()}
        given = arguments if isinstance(arguments, dict) else {}
        return Call(context, self.board, given, answers, params.request_state)


def build(era: str = "both") -> Everything:
    """The server, apart from any transport."""
    board = Board()
    handlers = Handlers(board)
    server = Everything(
        "everything",
        version="1.0.0",
        instructions="Every feature of the protocol, for tests.",
        cache_hints=_HINTS,
        on_list_tools=handlers.list_tools,
        on_call_tool=handlers.call_tool,
        on_list_prompts=handlers.list_prompts,
        on_get_prompt=handlers.get_prompt,
        on_list_resources=handlers.list_resources,
        on_list_resource_templates=handlers.list_templates,
        on_read_resource=handlers.read,
        on_subscribe_resource=handlers.subscribe,
        on_unsubscribe_resource=handlers.unsubscribe,
        on_subscriptions_listen=ListenHandler(board.bus),
        on_completion=handlers.complete,
    )
    server.add_request_handler("logging/setLevel", types.SetLevelRequestParams, handlers.set_level)
    server.add_notification_handler("notifications/initialized", types.NotificationParams, handlers.initialized)
    security = RequestStateSecurity(keys=[_STATE_KEY])
    server.middleware.append(RequestStateBoundary(security, default_audience=server.name))
    if era == "2026":
        server.middleware.append(_no_handshake)
    return server


async def _no_handshake(ctx: Context, call_next: CallNext) -> HandlerResult:
    if ctx.method == "initialize":
        data = {"supported": list(MODERN_PROTOCOL_VERSIONS), "requested": HANDSHAKE_PROTOCOL_VERSIONS[-1]}
        raise MCPError(types.UNSUPPORTED_PROTOCOL_VERSION, "Unsupported protocol version", data)
    return await call_next(ctx)


class Events(EventStore):
    """The last events of all streams, for Last-Event-ID.

    The SDK names the stream of an answer by the id of its request, which is the same in every session, and it loses
    what is said between a replay and the moment it listens again. So streams are told apart by their session too, and
    a replay lasts until the answer.
    """

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._events: deque[tuple[int, tuple[object, str], types.JSONRPCMessage | None]] = deque(maxlen=_STORED_EVENTS)
        self._more = anyio.Event()

    async def store_event(self, stream_id: str, message: types.JSONRPCMessage | None) -> str:
        number = next(self._ids)
        self._events.append((number, (_session.get(), stream_id), message))
        more, self._more = self._more, anyio.Event()
        more.set()
        return str(number)

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        last = int(last_event_id)
        stream = next((stream for number, stream, _ in self._events if number == last), None)
        if stream is None or stream[0] is not _session.get():
            return None
        while True:
            more = self._more
            for number, of_stream, message in list(self._events):
                if of_stream != stream or number <= last or message is None:
                    continue
                last = number
                await send_callback(EventMessage(message, str(number)))
                if isinstance(message, types.JSONRPCResponse | types.JSONRPCError):
                    return None
            if stream[1] == GET_STREAM_KEY:
                return stream[1]
            await more.wait()


class Requests:
    """What the tools and the event store have to know of a request: its session, and when its answer began."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._sessions: dict[bytes, object] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        # The SDK runs a session in the context of the request that opened it.
        session = self._sessions.get(dict(scope["headers"]).get(_SESSION_HEADER, b""), object())
        _session.set(session)
        begun = anyio.Event()

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and (id := dict(message["headers"]).get(_SESSION_HEADER)):
                self._sessions.setdefault(id, session)
            await send(message)
            if message.get("body"):
                begun.set()

        await self.app({**scope, BEGUN: begun}, receive, sending)


class OneEra:
    """Answers like a server that knows only one era, for requests of the other."""

    def __init__(self, app: ASGIApp, era: str) -> None:
        self.app = app
        self.era = era

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        version = dict(scope.get("headers", ())).get(b"mcp-protocol-version")
        modern = version is not None and version.decode("latin-1") not in HANDSHAKE_PROTOCOL_VERSIONS
        if scope["type"] != "http" or modern == (self.era == "2026"):
            await self.app(scope, receive, send)
        elif scope["method"] != "POST":
            await _answer(send, 405, None)
        else:
            await _answer(send, 400, self._refusal())

    def _refusal(self) -> dict[str, object]:
        if self.era == "2026":
            data = {"supported": list(MODERN_PROTOCOL_VERSIONS), "requested": HANDSHAKE_PROTOCOL_VERSIONS[-1]}
            error = {"code": types.UNSUPPORTED_PROTOCOL_VERSION, "message": "Unsupported protocol version"}
            return {"jsonrpc": "2.0", "id": None, "error": {**error, "data": data}}
        error = {"code": types.INVALID_REQUEST, "message": "Bad Request: Unsupported protocol version"}
        return {"jsonrpc": "2.0", "id": None, "error": error}


async def _answer(send: Send, status: int, body: dict[str, object] | None) -> None:
    headers = [(b"content-type", b"application/json")] if body else [(b"allow", b"POST")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode() if body else b""})


def serve_http(server: Everything, era: str, port: int, *, sloppy: bool = False) -> None:
    """Serve /mcp on loopback; the port is announced on the first line of stdout."""
    app: ASGIApp = Requests(server.streamable_http_app(event_store=Events(), retry_interval=_RETRY_MILLISECONDS))
    if sloppy:
        server.get_tool_input_schema = lambda name: None  # no schema: no check of Mcp-Param-*
        app = Sloppy(app)
    serve_app(app if era == "both" else OneEra(app, era), port)


def serve_app(app: ASGIApp, port: int) -> None:
    listener = socket.create_server(("127.0.0.1", port), backlog=1024)
    print(f"PORT {listener.getsockname()[1]}", flush=True)
    # h11, because uvicorn leaves white space at the end of header values when httptools parses them.
    config = uvicorn.Config(app, http="h11", log_level="warning", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listener])


def sse_app(server: Everything) -> ASGIApp:
    """The older transport, which only the handshake era knows."""
    transport = SseServerTransport("/messages/")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] == "/messages/":
            await transport.handle_post_message(scope, receive, send)
        elif scope["path"] == "/sse" and scope["method"] == "GET":
            async with transport.connect_sse(scope, receive, send) as (reading, writing):
                await serve_loop(server, reading, writing, lifespan_state={})
        else:
            await _answer(send, 405 if scope["path"] == "/sse" else 404, None)

    return app


async def serve_websocket(server: Everything, era: str, connection: ServerConnection) -> None:
    """Serve one client on a WebSocket."""
    session = str(connection.id)
    received, reading = create_context_streams[SessionMessage | Exception](0)
    writing, to_send = create_context_streams[SessionMessage](0)

    async def receive() -> None:
        async with received:
            with contextlib.suppress(ConnectionClosed):
                async for text in connection:
                    message = types.jsonrpc_message_adapter.validate_json(text, by_name=False)
                    metadata = ServerMessageMetadata(request_context=session)
                    await received.send(SessionMessage(message, metadata=metadata))

    async def send() -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in to_send:
                await connection.send(message.message.model_dump_json(by_alias=True, exclude_unset=True))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(receive)
        tasks.start_soon(send)
        await serve_pipe(server, era, reading, writing)
        tasks.cancel_scope.cancel()


async def serve_stdio(server: Everything, era: str) -> None:
    """Serve one client on stdin and stdout."""
    async with stdio_server() as (reading, writing):
        await serve_pipe(server, era, reading, writing)


async def serve_pipe(
    server: Everything,
    era: str,
    reading: ReadStream[SessionMessage | Exception],
    writing: WriteStream[SessionMessage],
) -> None:
    if era == "2025":
        await serve_loop(server, reading, writing, lifespan_state={})
    else:
        await server.run(reading, writing, server.create_initialization_options())


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transport", choices=("http", "stdio", "sse", "websocket"), default="http")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--era", choices=("both", "2025", "2026"), default="both")
    parser.add_argument("--sloppy", action="store_true", help="over HTTP: a loose implementation of 2026-07-28")
    options = parser.parse_args(argv)
    warnings.filterwarnings("ignore", category=MCPDeprecationWarning)
    server = build(options.era)
    if options.transport == "http":
        serve_http(server, options.era, options.port, sloppy=options.sloppy)
    elif options.transport == "sse":
        serve_app(sse_app(server), options.port)
    elif options.transport == "websocket":
        asyncio.run(
            wire.until_terminated(lambda: announced(partial(serve_websocket, server, options.era), options.port))
        )
    else:
        anyio.run(serve_stdio, server, options.era)


if __name__ == "__main__":
    main()
