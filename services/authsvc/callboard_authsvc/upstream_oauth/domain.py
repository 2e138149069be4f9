"""The rules of signing in to an upstream, without any IO.

Sources: MCP 2025-11-25 and 2026-07-28 (basic/authorization), RFC 6749, 6750, 7591, 7636, 8414, 8707, 9207, 9728.
Identifiers (issuer, resource) are compared as the text they are.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from typing import Literal
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec

from callboard.contracts.problems import Problem

AuthMethod = Literal["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]
OFFLINE = "offline_access"
EARLY_SECONDS = 60.0
"""An access token is renewed so long before it ends; one that lives for less than twice that, at half its time."""
# It begins at the first letter of a name only: else a header of letters alone would be read again from each of them.
_PARAMETER = re.compile(r'(?<![A-Za-z_-])([A-Za-z_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_MOST_CHARACTERS = 8192
_PREFERRED: tuple[AuthMethod, ...] = ("client_secret_basic", "client_secret_post", "none")


class Whose(msgspec.Struct, frozen=True):
    """What a grant belongs to. An empty subject: shared by all callers, and used to list what the server offers."""

    organisation: str
    server: str
    subject: str = ""


class Challenge(msgspec.Struct, frozen=True, kw_only=True):
    """What a server said when it refused: RFC 6750 and RFC 9728 parameters."""

    status: int = 0
    error: str = ""
    scope: str | None = None
    resource_metadata: str | None = None

    @property
    def wants_more(self) -> bool:
        """Whether the token was good, but did not allow enough."""
        return self.status == 403 and self.error == "insufficient_scope"


def challenge_of(status: int, header: str) -> Challenge:
    """Read a `WWW-Authenticate` header."""
    found = {name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(header[:_MOST_CHARACTERS])}
    return Challenge(
        status=status,
        error=found.get("error", ""),
        scope=found.get("scope"),
        resource_metadata=found.get("resource_metadata"),
    )


# ------------------------------------------------------------------------------------------ discovery


class ResourceMetadata(msgspec.Struct, frozen=True):
    """RFC 9728: what a server says of itself as a protected resource."""

    resource: str
    authorization_servers: tuple[str, ...] = ()
    scopes_supported: tuple[str, ...] | None = None


class ServerMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 8414: what an authorization server says of itself."""

    issuer: str
    authorization_endpoint: str = ""
    token_endpoint: str = ""
    registration_endpoint: str = ""
    revocation_endpoint: str = ""
    scopes_supported: tuple[str, ...] | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] | None = None
    code_challenge_methods_supported: tuple[str, ...] | None = None
    client_id_metadata_document_supported: bool = False
    authorization_response_iss_parameter_supported: bool = False


class Discovered(msgspec.Struct, frozen=True, kw_only=True):
    """Where a server sends its clients. `declared`: it has metadata of its own (no server of 2025-03-26)."""

    resource: str
    server: ServerMetadata
    scopes: tuple[str, ...] | None = None
    declared: bool = True


def resource_metadata_urls(url: str, named: str | None) -> list[str]:
    """Where the resource metadata of a server may be, in order: as the server says, at its path, at its origin."""
    if named:
        return [named]
    parts = urlsplit(url)
    root = f"{parts.scheme}://{parts.netloc}/.well-known/oauth-protected-resource"
    path = parts.path.rstrip("/")
    return [root + path, root] if path else [root]


def issuer_metadata_urls(issuer: str) -> list[str]:
    """Where the metadata of an issuer may be, in order. An issuer with a path is not looked for at its root."""
    parts = urlsplit(issuer)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    oauth, openid = f"{origin}/.well-known/oauth-authorization-server", f"{origin}/.well-known/openid-configuration"
    return (
        [oauth + path, openid + path, f"{origin}{path}/.well-known/openid-configuration"] if path else [oauth, openid]
    )


def origin_of(url: str) -> str:
    """Scheme and authority of a URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def origin_metadata(url: str) -> ServerMetadata:
    """What clients of 2025-03-26 assume of a server that says nothing: its own origin is the authorization server."""
    origin = origin_of(url)
    return ServerMetadata(
        issuer=origin,
        authorization_endpoint=f"{origin}/authorize",
        token_endpoint=f"{origin}/token",
        registration_endpoint=f"{origin}/register",
        code_challenge_methods_supported=("S256",),
    )


def canonical(url: str) -> str:
    """A server's URL as a resource identifier (RFC 8707): no fragment, scheme and host in lower case."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme.lower(), parts.netloc.lower(), parts.path, parts.query, ""))


def is_resource_of(resource: str, url: str) -> bool:
    """Whether metadata for this resource speaks of the server: the same, or a parent on the same origin."""
    named, server = urlsplit(canonical(resource)), urlsplit(canonical(url))
    if (named.scheme, named.netloc) != (server.scheme, server.netloc):
        return False
    return f"{server.path.rstrip('/')}/".startswith(f"{named.path.rstrip('/')}/")


def same_issuer(said: str, wanted: str, alias: str = "") -> bool:
    """Whether metadata is the issuer's it was asked of. `alias`: another name that an administrator gave it."""
    return said == wanted or bool(alias and said == alias)


def check_usable(server: ServerMetadata, url: str) -> None:
    """Raise `server.sign_in_failed` when a person cannot be sent there safely."""
    if "S256" not in (server.code_challenge_methods_supported or ()):
        raise failed("its authorization server does not say that it knows PKCE with S256")
    safe = {"https"} | ({"http"} if urlsplit(url).scheme == "http" else set())
    if urlsplit(server.authorization_endpoint).scheme not in safe:
        raise failed("its authorization endpoint is no https URL")


# --------------------------------------------------------------------------------------------- scopes


def union(before: str, more: str) -> str:
    """All scopes of both, each once, in order."""
    return " ".join(dict.fromkeys([*before.split(), *more.split()]))


def wanted_scope(challenge: Challenge, found: Discovered, configured: Sequence[str], before: str) -> str:
    """What to ask for: as challenged, else as configured, else as the resource lists, else nothing.

    A step-up asks for what was granted before too. Refresh tokens are asked for where the server offers that.
    """
    listed = " ".join(configured) if configured else " ".join(found.scopes or ())
    chosen = listed if challenge.scope is None else challenge.scope
    if challenge.wants_more:
        chosen = union(before, chosen)
    offered = found.server.scopes_supported or ()
    return union(chosen, OFFLINE) if chosen and OFFLINE in offered else chosen


# -------------------------------------------------------------------------------------------- clients


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """Who Callboard is at one authorization server. `origin`: given by an operator, a document, or registered."""

    client_id: str
    method: AuthMethod
    origin: Literal["given", "document", "registered"]
    secret: str = ""
    expires_at: float = 0.0

    def __repr__(self) -> str:
        return f"Client(client_id={self.client_id!r}, method={self.method!r})"


def auth_method(server: ServerMetadata, *, secret: bool) -> AuthMethod:
    """How the token endpoint is to be told who asks; without a secret there is nothing to tell."""
    if not secret:
        return "none"
    offered = server.token_endpoint_auth_methods_supported or ("client_secret_basic",)
    return next((method for method in _PREFERRED if method in offered), "client_secret_basic")


def registration(server: ServerMetadata, name: str, redirect_uri: str, scope: str) -> dict[str, object]:
    """The body of a dynamic registration (RFC 7591)."""
    offered = server.token_endpoint_auth_methods_supported or ("client_secret_basic",)
    method = next((each for each in ("none", *_PREFERRED) if each in offered), "none")
    loopback = urlsplit(redirect_uri).hostname in ("localhost", "127.0.0.1", "::1")
    body: dict[str, object] = {
        "client_name": name,
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": method,
        "application_type": "native" if loopback else "web",
    }
    return {**body, "scope": scope} if scope else body


class _Registered(msgspec.Struct):
    client_id: str
    client_secret: str | None = None
    client_secret_expires_at: float | None = None
    token_endpoint_auth_method: str | None = None


def client_of(body: bytes, asked: str) -> Client:
    """Whom a registration made of us; raises `server.sign_in_failed` for what cannot be used."""
    try:
        found = msgspec.json.decode(body, type=_Registered, strict=False)
    except msgspec.DecodeError:
        raise failed("its authorization server answered the registration with something else") from None
    method = found.token_endpoint_auth_method or asked
    if method not in _PREFERRED or (method != "none" and not found.client_secret):
        raise failed("its authorization server registered Callboard in a way that cannot be used")
    return Client(
        client_id=found.client_id,
        method=method,
        origin="registered",
        secret=found.client_secret or "",
        expires_at=found.client_secret_expires_at or 0.0,
    )


# --------------------------------------------------------------------------------------- authorization


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """A sign-in that waits for a browser to come back: all that any instance needs to finish it."""

    whose: Whose
    url: str
    found: Discovered
    client: Client
    verifier: str
    scope: str
    redirect_uri: str
    browser: str
    person: str = ""

    def __repr__(self) -> str:
        return f"Flow({self.whose!r})"


def code_challenge(verifier: str) -> str:
    """PKCE with S256 (RFC 7636)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def authorize_url(flow: Flow, state: str, *, resource: bool) -> str:
    """Where the browser is sent."""
    query = {
        "response_type": "code",
        "client_id": flow.client.client_id,
        "redirect_uri": flow.redirect_uri,
        "state": state,
        "code_challenge": code_challenge(flow.verifier),
        "code_challenge_method": "S256",
    }
    if resource:
        query["resource"] = flow.found.resource
    if flow.scope:
        query["scope"] = flow.scope
    if OFFLINE in flow.scope.split():
        query["prompt"] = "consent"
    endpoint = flow.found.server.authorization_endpoint
    return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{urlencode(query)}"


def check_answer(server: ServerMetadata, iss: str | None) -> None:
    """RFC 9207: raise unless the answer is of the server that was asked. Nothing else of it may be read before."""
    if iss is not None and iss != server.issuer:
        raise failed("the answer came from another authorization server than the one that was asked")
    if iss is None and server.authorization_response_iss_parameter_supported:
        raise failed("the answer does not say which authorization server it comes from")


# ---------------------------------------------------------------------------------------------- tokens


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What was granted, and all that is needed to renew it. Never leaves authsvc but for the access token.

    `requested` are the scopes that were asked for. The access token ends at `expires_at` and is renewed from `renew_at`
    on (epoch seconds; 0: not known).
    """

    access_token: str
    refresh_token: str = ""
    expires_at: float = 0.0
    renew_at: float = 0.0
    requested: str = ""
    scope: str = ""
    url: str = ""
    found: Discovered
    client: Client

    def __repr__(self) -> str:
        return f"Grant(issuer={self.found.server.issuer!r})"


class Tokens(msgspec.Struct, frozen=True):
    """The answer of a token endpoint (RFC 6749, section 5.1)."""

    access_token: str = ""
    token_type: str = ""
    expires_in: float | None = None
    refresh_token: str | None = None
    scope: str | None = None
    error: str | None = None

    def __repr__(self) -> str:
        return "Tokens()"


class TokenRefused(Exception):
    """A token endpoint said no. `code`: as in RFC 6749, section 5.2, cut to what such codes are made of."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = re.sub(r"[^a-z_]", "", code.lower())[:40]

    @property
    def final(self) -> bool:
        """Whether asking again would be of no use: the grant itself is gone."""
        return self.code in ("invalid_grant", "invalid_client", "unauthorized_client")


def tokens_of(status: int, body: bytes, kind: str = "bearer") -> Tokens:
    """Read the answer of a token endpoint; raises `TokenRefused` (some servers say no with a 200)."""
    try:
        found = msgspec.json.decode(body, type=Tokens, strict=False)
    except msgspec.DecodeError:
        found = Tokens()
    if found.error or status != 200:
        raise TokenRefused(status, found.error or "")
    if not found.access_token or found.token_type.lower() != kind:
        raise TokenRefused(status, "unusable_token")
    return found


def granted(tokens: Tokens, now: float, before: Grant) -> Grant:
    """The grant with new tokens; what the answer leaves out stays (RFC 6749, section 6)."""
    lifetime = tokens.expires_in or 0.0
    return msgspec.structs.replace(
        before,
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token or before.refresh_token,
        expires_at=0.0 if tokens.expires_in is None else now + lifetime,
        renew_at=0.0 if tokens.expires_in is None else now + max(lifetime - EARLY_SECONDS, lifetime / 2),
        scope=before.scope if tokens.scope is None else tokens.scope,
    )


def failed(reason: str) -> Problem:
    """Signing in did not work; the reason is a sentence of ours."""
    return Problem("server.sign_in_failed", reason)
