"""The edge: the only place of the room that builds adapters. On uvicorn: MCP, and Litestar for everything else."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import structlog
import uvicorn
from litestar import Litestar
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import SwaggerRenderPlugin

import callboard
from callboard.contracts.status import InstanceStatus
from callboard.platform.bus import Bus
from callboard.platform.room import Clockwork, answer_status, cancel_all
from callboard_edge.api.caller import Gatekeeper
from callboard_edge.api.openapi import ContractSchemas
from callboard_edge.api.routes import api_routes
from callboard_edge.api.tail import Tails
from callboard_edge.api.traced import TracedApi
from callboard_edge.auth.access_tokens import AccessTokens
from callboard_edge.auth.logins import Logins
from callboard_edge.auth.refusals import Refusals
from callboard_edge.auth.signing_keys import SigningKeySet
from callboard_edge.auth.verify import Tokens
from callboard_edge.entry import asks, pushes
from callboard_edge.front import App, Front
from callboard_edge.health.metrics import Metrics
from callboard_edge.health.routes import health_routes
from callboard_edge.mcp.calls import Calls
from callboard_edge.mcp.connected import ConnectedClients
from callboard_edge.mcp.connection import Rules
from callboard_edge.mcp.connections import Connections
from callboard_edge.mcp.endpoint import Carriers, McpEndpoint
from callboard_edge.mcp.handshake import Handshake
from callboard_edge.mcp.http_sse import HttpSse
from callboard_edge.mcp.playbooks import Playbooks
from callboard_edge.mcp.replays import Replays
from callboard_edge.mcp.resume import Resume
from callboard_edge.mcp.session_tokens import SessionTokens
from callboard_edge.mcp.sessions import Sessions
from callboard_edge.mcp.stateless import Stateless
from callboard_edge.mcp.stream_holders import StreamHolders
from callboard_edge.mcp.streams import Streams
from callboard_edge.mcp.traced import tracing
from callboard_edge.mcp.watching import Watching
from callboard_edge.mcp.web_socket import WebSockets
from callboard_edge.oauth.routes import oauth_routes
from callboard_edge.replay.run import Replays as CallReplays
from callboard_edge.settings import EdgeSettings
from callboard_edge.stalled import HttpProtocol, SocketProtocol
from callboard_edge.timely import Timely
from callboard_edge.web.refusals import refused
from callboard_edge.web.resource_metadata import resource_routes
from callboard_edge.web.routes import page_routes

log = structlog.get_logger()
LAST_CALLS = 1.5
"""Seconds that calls have to finish when the edge stops; less than the server's own patience."""
_LAST_WORDS = 0.3


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the room's runner decides when to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


class Edge:
    """One instance of the room."""

    def __init__(self, settings: EdgeSettings, instance: str) -> None:
        self._settings = settings
        self._clock = Clockwork("edge", instance)
        self.bus = Bus("edge", instance, settings)
        self._metrics = Metrics(self.bus.traces)
        self._keys = SigningKeySet(self.bus)
        access_tokens = AccessTokens(self.bus, self._keys, settings.public_url)
        self._tokens = Tokens(self.bus, access_tokens, settings.token_soft, settings.token_hard)
        self._logins = Logins(self.bus, settings.token_soft)
        self._refusals = Refusals(self.bus, settings.refusals_seconds)
        self._calls = Calls(self.bus, settings.silence, settings.let_go, tracing(self.bus.traces))
        self._playbooks = Playbooks(self._calls)
        self._sessions = Sessions(self.bus)
        self._watching = Watching(self.bus, self._playbooks)
        self._replays = Replays(self.bus)
        alias = self._replays.alias
        self._streams = Streams(self.bus, alias, self._calls, self._playbooks, self._sessions, self._watching)
        self._resume = Resume(self.bus, self._replays, StreamHolders(), settings.silence, settings.let_go)
        deadline = settings.deadline
        self._handshake = Handshake(
            self._calls, self._playbooks, self._sessions, self._streams, self._resume, self._metrics, deadline
        )
        self._stateless = Stateless(self._calls, self._playbooks, self._streams, self._metrics, deadline)
        self._connections = Connections()
        rules = Rules(self._handshake, self._stateless, self._streams, self._playbooks, self._metrics)
        self._http_sse = HttpSse(self.bus, rules, self._connections)
        self._web_sockets = WebSockets(rules, self._connections)
        self._tails = Tails(self.bus)
        self._server: _Server | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._ready = False

    async def start(self) -> None:
        """Connect, listen to what is pushed, then open the port."""
        await self.bus.connect()
        await self._calls.start()
        await self._http_sse.start()
        await pushes.listen(
            self.bus,
            self._tokens,
            self._sessions,
            self._playbooks,
            self._streams,
            self._resume,
            self._watching,
            self._connections,
            self._calls,
        )
        await pushes.listen_for_api(self.bus, self._tokens, self._logins, self._tails)
        await pushes.listen_for_keys(self.bus, self._tokens, self._keys)
        clients = ConnectedClients(self._calls, self._playbooks, self._connections, self._sessions)
        await asks.listen(self.bus, self._replays, self._streams, clients)
        answer_status(self)
        await self.bus.serve()
        config = uvicorn.Config(
            self.application(),
            loop="uvloop",
            http=HttpProtocol,
            ws=SocketProtocol,
            ws_max_size=self._settings.max_body_bytes,
            ws_ping_interval=20.0,
            ws_ping_timeout=20.0,
            # A compressed message of a few bytes may be one of gigabytes, and secrets beside chosen text leak.
            ws_per_message_deflate=False,
            interface="asgi3",
            lifespan="off",
            access_log=False,
            # Left alone, uvicorn believes every peer on this machine.
            proxy_headers=bool(self._settings.proxy_networks),
            forwarded_allow_ips=[str(network) for network in self._settings.proxy_networks],
            server_header=False,
            date_header=False,
            log_config=None,
            backlog=4096,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=2,
        )
        self._server = _Server(config)
        listener = _listen(self._settings.host, self._settings.port)
        self._tasks = [
            asyncio.create_task(self._server.serve(sockets=[listener])),
            asyncio.create_task(self._calls.sweep()),
            asyncio.create_task(self._watching.run()),
            asyncio.create_task(self._refusals.run()),
        ]
        self._ready = True
        log.info("listening", host=self._settings.host, port=listener.getsockname()[1])

    def application(self) -> Front:
        """All routes: MCP, management API, documentation, health."""
        carriers = Carriers(self._http_sse, self._web_sockets, SessionTokens(self.bus))
        endpoint = McpEndpoint(
            self._settings, self._tokens, self._handshake, self._stateless, carriers, self._metrics, self._refusals
        )

        repeated = CallReplays(self.bus, self._calls, self._settings.deadline)

        management = Litestar(
            [
                *api_routes(self.bus, Gatekeeper(self._tokens, self._logins, self._refusals), self._tails, repeated),
                *page_routes(self.bus, self._logins, self._settings.public_url),
                *oauth_routes(self.bus, self._tokens, self._settings.public_url),
                *resource_routes(self._keys, self._settings.public_url),
                *health_routes(self.bus, self._metrics_text),
            ],
            openapi_config=OpenAPIConfig(
                title="Callboard management API",
                version=callboard.__version__,
                path="/docs",
                render_plugins=[SwaggerRenderPlugin()],
            ),
            request_max_body_size=self._settings.max_body_bytes,
            middleware=[Timely],
            exception_handlers={Exception: refused},
            plugins=[ContractSchemas()],
            logging_config=None,
        )
        behind: App = management  # type: ignore[assignment]  # Litestar's types of ASGI are narrower
        return Front(endpoint, behind if self.bus.traces is None else TracedApi(behind, self.bus.traces))

    def _metrics_text(self) -> bytes:
        self._metrics.in_flight.set(self._calls.in_flight)
        self._metrics.streams.set(self._playbooks.streams)
        self._metrics.connections.set(len(self._connections))
        return self._metrics.text()

    async def stop(self) -> None:
        """Close the port and the streams, let calls finish, disconnect."""
        self._playbooks.close_all()
        self._tails.close_all()
        await self._connections.drain()
        if self._server is not None:
            self._server.should_exit = True
            await asyncio.wait(self._tasks[:1], timeout=LAST_CALLS)
            # Before the server gives them up: their clients are told, and not with a bare 500.
            self._calls.end_all()
            await asyncio.wait(self._tasks[:1], timeout=1.0)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._refusals.flush(), _LAST_WORDS)
        await self.bus.close()
        await cancel_all(*self._tasks)

    def status(self) -> InstanceStatus:
        """Calls and streams of the moment."""
        figures = {"in_flight": float(self._calls.in_flight), "streams": float(self._playbooks.streams)}
        return self._clock.status(ready=self._ready, figures=figures)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.setblocking(False)
    return listener
