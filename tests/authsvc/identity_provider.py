"""A small OpenID provider on this machine: it signs what the test tells it to, and checks PKCE like a real one."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import uvicorn
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet
from litestar import Litestar, Request, Response, get, post

from tests.support.backends import free_port
from tests.support.waiting import PATIENCE, eventually

CLIENT = "callboard"
SECRET = "provider secret"


class FakeProvider:
    """`claims` and `header` of the next ID token can be changed by a test."""

    def __init__(self, port: int) -> None:
        self.issuer = f"http://127.0.0.1:{port}"
        self.keys = [ECKey.generate_key("P-256", {"kid": "one"})]
        self.claims: dict[str, Any] = {}
        self.header: dict[str, Any] = {}
        self.signer: Any = None
        self.key_requests = 0
        self._codes: dict[str, tuple[str, str]] = {}

    @property
    def settings(self) -> dict[str, str]:
        return {
            "oidc_issuer": self.issuer,
            "private_upstreams": "127.0.0.1",
            "oidc_client_id": CLIENT,
            "oidc_client_secret": SECRET,
            "oidc_redirect_url": "http://callboard.test/api/v1/session/external/callback",
        }

    def approve(self, url: str) -> tuple[str, str]:
        """What a person does in the browser: the code and the state that it comes back with."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert query["code_challenge_method"] == "S256"
        assert query["response_type"] == "code"
        code = f"code-{len(self._codes)}"
        self._codes[code] = (query["code_challenge"], query["nonce"])
        return code, query["state"]

    def application(self) -> Litestar:
        @get("/.well-known/openid-configuration", sync_to_thread=False)
        def described() -> dict[str, str]:
            return {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
            }

        @get("/keys", sync_to_thread=False)
        def keys() -> dict[str, Any]:
            self.key_requests += 1
            return dict(KeySet(self.keys).as_dict(private=False))

        @post("/token", status_code=200)
        async def token(request: Request[Any, Any, Any]) -> Response[dict[str, str]]:
            form = await request.form()
            challenge, nonce = self._codes.pop(form["code"], ("", ""))
            digest = hashlib.sha256(form["code_verifier"].encode()).digest()
            basic = base64.b64encode(f"{CLIENT}:{SECRET.replace(' ', '%20')}".encode()).decode()
            proved = _base64(digest) == challenge
            if not proved or request.headers["authorization"] != f"Basic {basic}":
                return Response({"error": "invalid_grant"}, status_code=400)
            return Response({"access_token": "x", "token_type": "Bearer", "id_token": self.id_token(nonce)})

        return Litestar([described, keys, token], logging_config=None)

    def id_token(self, nonce: str) -> str:
        """What it says of the person, signed."""
        now = int(time.time())
        usual = {"iss": self.issuer, "aud": CLIENT, "sub": "s1", "iat": now, "exp": now + 60, "nonce": nonce}
        header = {"alg": "ES256", "kid": self.keys[-1].kid} | self.header
        if isinstance(self.signer, bytes):
            return _forged(header, usual | self.claims, self.signer)
        return jwt.encode(header, usual | self.claims, self.signer or self.keys[-1], algorithms=["ES256"])


def _forged(header: dict[str, Any], claims: dict[str, Any], secret: bytes) -> str:
    """What no library signs: HS256 with any bytes, and nothing at all for `none`."""
    parts = [_base64(json.dumps(part).encode()) for part in (header, claims)]
    digest = hmac.digest(secret, ".".join(parts).encode(), hashlib.sha256) if header["alg"] == "HS256" else b""
    return ".".join([*parts, _base64(digest)])


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@asynccontextmanager
async def running_provider() -> AsyncIterator[FakeProvider]:
    """Served until the end of the test."""
    port = free_port()
    provider = FakeProvider(port)
    config = uvicorn.Config(provider.application(), host="127.0.0.1", port=port, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        await eventually(lambda: server.started)
        yield provider
    finally:
        server.should_exit = True
        await asyncio.wait_for(serving, PATIENCE)
