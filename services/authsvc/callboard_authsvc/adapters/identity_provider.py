"""The identity provider that the settings name: its metadata, its keys, its token endpoint. All JOSE calls are here.

Only addresses of the configured issuer's own metadata are asked, without redirects, with bounds on time and size.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

import httpx2
import msgspec
import structlog
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from callboard.contracts.problems import Problem
from callboard_authsvc.external.domain import ALGORITHMS, challenge_of, refused

log = structlog.get_logger()
_SECONDS: Final = 10.0
_MAX_BYTES: Final = 1_000_000
_METADATA_SECONDS: Final = 3600.0
_KEYS_PAUSE: Final = 60.0
"""A key that is not known is looked for once in so many seconds, however many tokens name one."""


class _Metadata(msgspec.Struct, frozen=True):
    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str


class _Tokens(msgspec.Struct, frozen=True):
    id_token: str


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings say of it. `redirect_url` is ours, as registered there; `scopes` with spaces."""

    issuer: str
    client_id: str
    client_secret: str
    redirect_url: str
    scopes: str

    def __repr__(self) -> str:
        return f"Provider({self.issuer!r})"


class IdentityProvider:
    """Metadata and keys are kept; everything else is one request."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self._metadata: tuple[_Metadata, float] | None = None
        self._keys: KeySet | None = None
        self._keys_at = float("-inf")
        self._fetching = asyncio.Lock()

    async def authorization_url(self, state: str, nonce: str, verifier: str) -> str:
        """Where the browser goes. Raises `login.unavailable`."""
        metadata = await self._described()
        query = urlencode(
            {
                "response_type": "code",
                "client_id": self.provider.client_id,
                "redirect_uri": self.provider.redirect_url,
                "scope": self.provider.scopes,
                "state": state,
                "nonce": nonce,
                "code_challenge": challenge_of(verifier),
                "code_challenge_method": "S256",
            },
            quote_via=quote,
        )
        joint = "&" if "?" in metadata.authorization_endpoint else "?"
        return f"{metadata.authorization_endpoint}{joint}{query}"

    async def redeem(self, code: str, verifier: str) -> Mapping[str, Any]:
        """The claims of the ID token behind a code, signature checked; `login.refused` or `login.unavailable`."""
        metadata, provider = await self._described(), self.provider
        basic = base64.b64encode(f"{quote(provider.client_id)}:{quote(provider.client_secret)}".encode()).decode()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": provider.redirect_url,
            "code_verifier": verifier,
        }
        body = await self._request(
            "POST", metadata.token_endpoint, data=form, headers={"Authorization": f"Basic {basic}"}
        )
        try:
            id_token = msgspec.json.decode(body, type=_Tokens).id_token
        except msgspec.DecodeError:
            raise refused() from None
        return await self.claims(id_token)

    async def claims(self, id_token: str) -> Mapping[str, Any]:
        """The claims of a JWT whose signature is the provider's; `login.refused` for any other."""
        for fresh in (False, True):
            keys = await self._key_set(fresh=fresh)
            try:
                return jwt.decode(id_token, keys, algorithms=ALGORITHMS).claims
            except (JoseError, ValueError) as error:
                log.info("id_token_not_good", reason=type(error).__name__, fresh_keys=fresh)
        raise refused()

    async def _key_set(self, *, fresh: bool) -> KeySet:
        async with self._fetching:
            due = self._keys is None or (fresh and time.monotonic() - self._keys_at > _KEYS_PAUSE)
            if due:
                body = await self._request("GET", (await self._described()).jwks_uri)
                try:
                    self._keys = KeySet.import_key_set(msgspec.json.decode(body))
                except (JoseError, msgspec.DecodeError, ValueError, KeyError, TypeError) as error:
                    raise _unavailable(f"keys: {type(error).__name__}") from None
                self._keys_at = time.monotonic()
            assert self._keys is not None, "fetched above"
            return self._keys

    async def _described(self) -> _Metadata:
        kept = self._metadata
        if kept is not None and time.monotonic() - kept[1] < _METADATA_SECONDS:
            return kept[0]
        issuer = self.provider.issuer
        body = await self._request("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        try:
            metadata = msgspec.json.decode(body, type=_Metadata)
        except msgspec.DecodeError as error:
            raise _unavailable(f"metadata: {type(error).__name__}") from None
        if metadata.issuer != issuer:
            raise _unavailable("the metadata is that of another issuer")
        self._metadata = (metadata, time.monotonic())
        return metadata

    async def _request(self, method: str, url: str, **more: Any) -> bytes:
        # Nothing compressed: a few bytes may be a gigabyte.
        headers = {"Accept-Encoding": "identity", "Accept": "application/json", **more.pop("headers", {})}
        try:
            async with (
                asyncio.timeout(_SECONDS),
                httpx2.AsyncClient(timeout=_SECONDS, follow_redirects=False) as http,
                http.stream(method, url, headers=headers, **more) as response,
            ):
                body = b""
                async for piece in response.aiter_raw():
                    body += piece
                    if len(body) > _MAX_BYTES:
                        raise _unavailable("the answer is too large")
        except (httpx2.HTTPError, TimeoutError, OSError) as error:
            raise _unavailable(type(error).__name__) from None
        if 400 <= response.status_code < 500 and method == "POST":
            raise refused()
        if response.status_code != 200:
            raise _unavailable(f"status {response.status_code}")
        return body


def _unavailable(reason: str) -> Problem:
    log.warning("identity_provider_unavailable", reason=reason)
    return Problem("login.unavailable", "the identity provider does not answer as it should")
