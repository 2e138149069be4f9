"""An MCP server that wants an access token, and its authorization server, in one small application on loopback.

The authorization server asks nobody: whoever comes with a good request is sent back with a code. Refresh tokens work
once, and one that comes again ends the whole grant, as the strict ones do.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import itertools
import json
import socket
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode

import uvicorn

from tests.support.waiting import eventually

TOOL = {"name": "whoami", "description": "Whose token this is.", "inputSchema": {"type": "object"}}


@dataclass
class Guarded:
    """What it does is in its fields; what it saw too. `answers`: path -> (status, body) in the place of its own."""

    port: int = 0
    expires_in: int = 3600
    issuer_in_answers: bool = True
    needed_scope: str = ""
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    lag: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    forms: list[dict[str, str]] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    access: dict[str, str] = field(default_factory=dict)
    refresh: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    handed_out: set[str] = field(default_factory=set)
    bearers: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    @property
    def origin(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.origin}/mcp"

    def metadata(self, **changes: Any) -> dict[str, Any]:
        return {
            "issuer": self.origin,
            "authorization_endpoint": f"{self.origin}/authorize",
            "token_endpoint": f"{self.origin}/token",
            "registration_endpoint": f"{self.origin}/register",
            "revocation_endpoint": f"{self.origin}/revoke",
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none", "client_secret_basic"],
            "authorization_response_iss_parameter_supported": self.issuer_in_answers,
            **changes,
        }

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
        status, more, answer = await self._answer(scope["method"], scope["path"], headers, query, body)
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        lines = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        lines += [(name.encode(), value.encode()) for name, value in more.items()]
        await send({"type": "http.response.start", "status": status, "headers": lines})
        await send({"type": "http.response.body", "body": content})

    async def _answer(
        self, method: str, path: str, headers: dict[str, str], query: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], Any]:
        self.counts[path] += 1
        if path in self.answers:
            status, answer = self.answers[path]
            return status, {}, answer
        if path == "/.well-known/oauth-protected-resource/mcp":
            return 200, {}, {"resource": self.url, "authorization_servers": [self.origin]}
        if path == "/.well-known/oauth-authorization-server":
            return 200, {}, self.metadata()
        if path == "/register":
            asked = json.loads(body)
            self.asked.append(asked)
            return 201, {}, {**asked, "client_id": f"registered-{next(self._numbers)}"}
        if path == "/authorize":
            return self._authorized(query)
        if path == "/token":
            return await self._tokens({name: values[0] for name, values in parse_qs(body.decode()).items()})
        if path == "/revoke":
            return 200, {}, b""
        return self._called(headers, body) if path == "/mcp" and method == "POST" else (404, {}, {})

    def _authorized(self, query: dict[str, str]) -> tuple[int, dict[str, str], Any]:
        code = f"code-{next(self._numbers)}"
        self.codes[code] = query
        self.handed_out |= {code, query["state"], query["code_challenge"]}
        back = {"code": code, "state": query["state"]} | ({"iss": self.origin} if self.issuer_in_answers else {})
        return 302, {"location": f"{query['redirect_uri']}?{urlencode(back)}"}, b""

    async def _tokens(self, form: dict[str, str]) -> tuple[int, dict[str, str], Any]:
        self.forms.append(form)
        await asyncio.sleep(self.lag)
        if form["grant_type"] == "authorization_code":
            asked = self.codes.pop(form.get("code", ""), None)
            made = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
            challenge = base64.urlsafe_b64encode(made).rstrip(b"=").decode()
            if asked is None or asked["code_challenge"] != challenge or asked["redirect_uri"] != form["redirect_uri"]:
                return 400, {}, {"error": "invalid_grant"}
            return 200, {}, self._issued(asked.get("scope", ""), f"family-{next(self._numbers)}")
        if form["grant_type"] == "refresh_token":
            token = form["refresh_token"]
            family = self.refresh.pop(token, None)
            if family is None:
                if token in self.used:  # it was used before: somebody has stolen it, or has forgotten its answer
                    self.refresh.clear()
                return 400, {}, {"error": "invalid_grant"}
            self.used.add(token)
            return 200, {}, self._issued("", family)
        return 200, {}, self._issued(form.get("scope", ""), "nobody")

    def _issued(self, scope: str, family: str) -> dict[str, Any]:
        access, refresh = f"access-{next(self._numbers)}", f"refresh-{next(self._numbers)}"
        self.access[access], self.refresh[refresh] = scope, family
        answer = {"access_token": access, "token_type": "Bearer", "expires_in": self.expires_in}
        return {**answer, "refresh_token": refresh} | ({"scope": scope} if scope else {})

    def _called(self, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], Any]:
        message = json.loads(body)
        self.headers.append(headers)
        token = headers.get("authorization", "").removeprefix("Bearer ")
        named = f'resource_metadata="{self.origin}/.well-known/oauth-protected-resource/mcp"'
        if token not in self.access:
            return 401, {"www-authenticate": f"Bearer {named}"}, {}
        if message["method"] == "tools/call":
            if self.needed_scope and self.needed_scope not in self.access[token].split():
                more = f'Bearer error="insufficient_scope", scope="{self.needed_scope}", {named}'
                return 403, {"www-authenticate": more}, {}
            self.bearers.append(token)
        return 200, {}, {"jsonrpc": "2.0", "id": message["id"], **_said(message["method"], token)}

    def forget_access(self) -> None:
        """All access tokens are over, whatever was said of their time."""
        self.access.clear()


def _said(method: str, token: str) -> dict[str, Any]:
    results: dict[str, Any] = {
        "server/discover": {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}},
        "tools/list": {"tools": [TOOL], "ttlMs": 0, "cacheScope": "private"},
        "tools/call": {"content": [{"type": "text", "text": token}]},
    }
    if method not in results:
        return {"error": {"code": -32601, "message": "no such method"}}
    return {"result": {"resultType": "complete", **results[method]}}


@contextlib.asynccontextmanager
async def guarded(**fields: Any) -> AsyncIterator[Guarded]:
    """Run one, in this process."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Guarded(port=listener.getsockname()[1], **fields)
    config = uvicorn.Config(server, log_config=None, lifespan="off", access_log=False)  # type: ignore[arg-type]
    running = uvicorn.Server(config)
    running.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    task = asyncio.create_task(running.serve(sockets=[listener]))
    try:
        await eventually(lambda: running.started)
        yield server
    finally:
        running.should_exit = True
        running.force_exit = True
        await task
        listener.close()
