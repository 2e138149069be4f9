"""Clients: what may be registered, how long it stays, what their metadata documents must say. Pure."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry

from callboard.contracts.access_events import ServiceClientAdded, ServiceClientRemoved
from callboard.contracts.oauth_server import AuthMethod, ClientKind, OAuthClient, RegisterClient
from callboard.contracts.problems import Problem
from callboard.kernel.decider import Decider
from callboard.kernel.names import is_slug
from callboard.kernel.redirect_uris import MAX_URIS, fault_of, is_same
from callboard_authsvc.external.domain import is_safe_issuer
from callboard_authsvc.oauth_server.domain import refused

UNUSED_LIFE: Final = timedelta(hours=24)
IDLE_LIFE: Final = timedelta(days=90)
MAX_NAME: Final = 100
MAX_DOCUMENT: Final = 5 * 1024
MIN_RSA_BITS: Final = 2048
FRESH_AT_LEAST, FRESH_AT_MOST = timedelta(minutes=5), timedelta(hours=24)
JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CODE_GRANTS: Final = ("authorization_code", "refresh_token")
SERVICE_GRANTS: Final = ("client_credentials", JWT_BEARER)
_DOCUMENT_METHODS: Final = ("none", "private_key_jwt")
_MAX_AGE = re.compile(r"(?:^|,)\s*max-age\s*=\s*\"?([0-9]{1,9})", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_NOT_PRIVATE = frozenset(
    ("http", "https", "javascript", "vbscript", "data", "file", "blob", "about", "ftp", "ws", "wss")
)
_DOTS = re.compile(r"/(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """One client as stored. `verifier`: of its secret; `public_keys`: a JWK set, or `keys_url`: where it is."""

    client_id: str
    kind: ClientKind
    name: str
    redirect_uris: tuple[str, ...]
    auth_method: AuthMethod
    grant_types: tuple[str, ...]
    created_at: datetime
    verifier: bytes | None = None
    public_keys: str = ""
    keys_url: str = ""
    organisation: str = ""
    account: str = ""
    used_at: datetime | None = None
    fresh_until: datetime | None = None
    removed_at: datetime | None = None

    def __repr__(self) -> str:
        return f"Client({self.client_id!r})"

    @property
    def shown(self) -> OAuthClient:
        """What the edge may know."""
        return OAuthClient(
            client_id=self.client_id,
            kind=self.kind,
            name=self.name,
            redirect_uris=self.redirect_uris,
            auth_method=self.auth_method,
            grant_types=self.grant_types,
            agreed=self.used_at is not None,
        )


def is_live(client: Client, now: datetime) -> bool:
    """Whether the client may still come: not removed, and used, if it registered itself."""
    if client.removed_at is not None:
        return False
    if client.kind != "dynamic":
        return True
    return now < (client.created_at + UNUSED_LIFE if client.used_at is None else client.used_at + IDLE_LIFE)


def unknown_client() -> Problem:
    """One answer for every client that is none, or did not show that it is the one; clients register again at it."""
    return refused("invalid_client", "the client is unknown or did not prove who it is; register again")


def check_registration(command: RegisterClient, private: Collection[str]) -> None:
    """Raise `invalid_redirect_uri` or `invalid_client_metadata` for what cannot be registered."""
    check_redirect_uris(command.redirect_uris, private)
    if len(command.name) > MAX_NAME or not command.name.isprintable():
        raise refused("invalid_client_metadata", f"client_name: use at most {MAX_NAME} printable characters")
    if command.auth_method == "private_key_jwt":
        raise refused("invalid_client_metadata", "private_key_jwt: an organisation makes such clients")
    if "authorization_code" not in command.grant_types or not set(command.grant_types) <= set(CODE_GRANTS):
        raise refused("invalid_client_metadata", f"grant_types: choose some of {', '.join(CODE_GRANTS)}")


def check_redirect_uris(uris: Collection[str], private: Collection[str]) -> None:
    """Raise `invalid_redirect_uri`, naming the first that is not good."""
    if not 0 < len(uris) <= MAX_URIS:
        raise refused("invalid_redirect_uri", f"redirect_uris: give 1 to {MAX_URIS}")
    for number, uri in enumerate(uris, 1):
        if (fault := fault_of(uri, private)) is not None:
            raise refused("invalid_redirect_uri", f"redirect_uris: number {number} {fault}")


def has_redirect_uri(client: Client, uri: str) -> bool:
    """Whether the client registered this one, or the same with another port of this machine."""
    return any(is_same(registered, uri) for registered in client.redirect_uris)


# --- metadata documents (CIMD, draft-ietf-oauth-client-id-metadata-document) --------------------------


def is_document_url(client_id: str) -> bool:
    """Whether a client id may be fetched: https, a host and a path, and nothing that could be read in two ways."""
    try:
        parts = urlsplit(client_id)
        _ = parts.port
    except ValueError:
        return False
    return (
        client_id.startswith("https://")
        and client_id.isascii()
        and client_id.isprintable()
        and not any(mark in client_id for mark in " \\#@")
        and bool(parts.hostname)
        and len(parts.path) > 1
        and len(client_id) <= 2000
        and _DOTS.search(parts.path) is None
    )


def client_of_document(
    url: str, body: bytes, headers: Mapping[str, str], private: Collection[str], now: datetime
) -> Client:
    """The client that a document describes; `invalid_client` for any that does not do as the draft says."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        raise _bad("is not JSON") from None
    if not isinstance(said, dict) or said.get("client_id") != url:
        raise _bad("does not name its own URL as client_id")
    if "client_secret" in said or "client_secret_expires_at" in said:
        raise _bad("holds a secret")
    method, uris = said.get("token_endpoint_auth_method", "none"), said.get("redirect_uris")
    if method not in _DOCUMENT_METHODS:
        raise _bad("wants a method of authentication that needs a shared secret, or is unknown")
    if not isinstance(uris, list) or not all(isinstance(uri, str) for uri in uris):
        raise _bad("has no redirect_uris")
    try:
        check_redirect_uris(uris, private)
    except Problem as problem:
        raise _bad(f"has a fault in {problem.message}") from None
    name = said.get("client_name")
    # Whoever does not say what it uses gets refresh tokens too; it may leave them alone.
    grants = said.get("grant_types", list(CODE_GRANTS))
    return Client(
        client_id=url,
        kind="document",
        name=name[:MAX_NAME] if isinstance(name, str) and name.isprintable() else "",
        redirect_uris=tuple(uris),
        auth_method=method,
        grant_types=tuple(grant for grant in CODE_GRANTS if isinstance(grants, list) and grant in grants),
        created_at=now,
        public_keys=_public_keys(said) if method == "private_key_jwt" else "",
        keys_url=_keys_url(said) if method == "private_key_jwt" else "",
        fresh_until=now + fresh_for(headers),
    )


def fresh_for(headers: Mapping[str, str]) -> timedelta:
    """How long an answer need not be fetched again, by its headers, but neither a moment nor for ever."""
    found = _MAX_AGE.search(headers.get("cache-control", ""))
    asked = timedelta(seconds=int(found[1])) if found else FRESH_AT_LEAST
    return min(max(asked, FRESH_AT_LEAST), FRESH_AT_MOST)


def _public_keys(said: Mapping[str, Any]) -> str:
    keys = said.get("jwks")
    return "" if keys is None else checked_keys(json.dumps(keys))


def _keys_url(said: Mapping[str, Any]) -> str:
    url = said.get("jwks_uri", "")
    if url and (not isinstance(url, str) or not url.startswith("https://")):
        raise _bad("has a jwks_uri that is not https")
    return str(url)


def checked_keys(text: str) -> str:
    """A JWK set of public signature keys as text; `invalid_client_metadata` for anything else."""
    try:
        keys = json.loads(text)["keys"]
        good = isinstance(keys, list) and 0 < len(keys) <= 10 and all(_is_public(key) for key in keys)
    except (ValueError, TypeError, KeyError, RecursionError):
        good = False
    if not good or len(text) > 16_384:
        wanted = f"1 to 10 public EC keys, or RSA keys of {MIN_RSA_BITS} bits or more"
        raise refused("invalid_client_metadata", f"public_keys: give a JWK set of {wanted}")
    return text


def _is_public(said: Any) -> bool:
    """Whether this is a public key with which signatures can be checked."""
    if not isinstance(said, dict) or said.get("kty") not in ("EC", "RSA") or "d" in said or "k" in said:
        return False
    try:
        if said["kty"] == "RSA":
            modulus = int.from_bytes(base64.urlsafe_b64decode(said["n"] + "=="))
            if modulus.bit_length() < MIN_RSA_BITS:
                return False
        key = JWKRegistry.import_key(said).public_key
    except (JoseError, ValueError, TypeError, KeyError, UnsupportedAlgorithm):
        return False
    return isinstance(key, EllipticCurvePublicKey | RSAPublicKey)


def _bad(fault: str) -> Problem:
    return refused("invalid_client", f"the client's metadata document {fault}")


# --- settings ----------------------------------------------------------------------------------------


def parse_private_uris(text: str) -> frozenset[str]:
    """Redirect URIs of private schemes, with commas; raises ValueError for what would send codes anywhere."""
    uris = frozenset(filter(None, (part.strip() for part in text.split(","))))
    for uri in uris:
        parts = urlsplit(uri)
        if _SCHEME.fullmatch(parts.scheme) is None or parts.scheme in _NOT_PRIVATE or not (parts.netloc or parts.path):
            raise ValueError("write whole redirect URIs of a private scheme (app.example:/callback), with commas")
    return uris


def parse_trusted(text: str) -> dict[str, str]:
    """`issuer=organisation, issuer=organisation` as a mapping; raises ValueError with a sentence."""
    trusted: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        issuer, equals, organisation = part.rpartition("=")
        if not equals or not is_safe_issuer(issuer) or not is_slug(organisation) or issuer in trusted:
            raise ValueError("write ISSUER=ORGANISATION with an https URL, each once, several with commas")
        trusted[issuer] = organisation
    return trusted


# --- clients that an organisation makes --------------------------------------------------------------

ServiceClientEvent = ServiceClientAdded | ServiceClientRemoved


def stream_of(client_id: str) -> str:
    """The stream of a service client, in its organisation's log."""
    return f"oauth_client-{client_id}"


def _decide(order: ServiceClientEvent, live: bool) -> tuple[ServiceClientEvent, ...]:
    return () if isinstance(order, ServiceClientRemoved) and not live else (order,)


def _evolve(live: bool, event: ServiceClientEvent) -> bool:
    return isinstance(event, ServiceClientAdded)


SERVICE_CLIENT = Decider[ServiceClientEvent, bool, ServiceClientEvent](False, _decide, _evolve)
