"""Find out where a server sends its clients: its resource metadata, then the metadata of its authorization server."""

from __future__ import annotations

import msgspec

from callboard.contracts.definitions import UpstreamOAuth
from callboard.platform.egress import EgressRefused, Fetched, FetchFailed
from callboard_authsvc.upstream_oauth.domain import (
    Challenge,
    Discovered,
    ResourceMetadata,
    ServerMetadata,
    canonical,
    failed,
    is_resource_of,
    issuer_metadata_urls,
    origin_metadata,
    origin_of,
    resource_metadata_urls,
    same_issuer,
)
from callboard_authsvc.upstream_oauth.ports import Fetch

_VERSION = {"MCP-Protocol-Version": "2025-11-25"}
_resource = msgspec.json.Decoder(ResourceMetadata).decode
_server = msgspec.json.Decoder(ServerMetadata, strict=False).decode


async def discover(url: str, challenge: Challenge, oauth: UpstreamOAuth, fetch: Fetch) -> Discovered:
    """Raises `server.sign_in_failed`: nothing found, or metadata that speaks of another server or issuer."""
    said = await _resource_metadata(url, challenge.resource_metadata, fetch)
    if said is None:
        return await _of_its_origin(url, fetch)
    if not is_resource_of(said.resource, url):
        raise failed("its metadata is about another resource than this server")
    issuer = _issuer(said, oauth)
    server = await _server_metadata(issuer, oauth.issuer_alias, fetch)
    if server is None:
        raise failed("its authorization server has no metadata")
    return Discovered(resource=said.resource, server=server, scopes=said.scopes_supported)


def _issuer(said: ResourceMetadata, oauth: UpstreamOAuth) -> str:
    if not said.authorization_servers:
        raise failed("its metadata names no authorization server")
    if not oauth.issuer:
        return said.authorization_servers[0]
    if oauth.issuer not in said.authorization_servers:
        raise failed("its metadata does not name the authorization server that its definition names")
    return oauth.issuer


async def _resource_metadata(url: str, named: str | None, fetch: Fetch) -> ResourceMetadata | None:
    for place in resource_metadata_urls(url, named):
        answer = await _got(place, fetch)
        if answer.status != 200:
            continue
        try:
            return _resource(answer.body)
        except msgspec.DecodeError:
            raise failed("its metadata is not that of a protected resource") from None
    if named:
        raise failed("it has no metadata where it says that it has")
    return None


async def _of_its_origin(url: str, fetch: Fetch) -> Discovered:
    """A server of 2025-03-26: its origin is the authorization server, with metadata or without."""
    origin = origin_of(url)
    server = await _server_metadata(origin, "", fetch) or origin_metadata(url)
    return Discovered(resource=canonical(url), server=server, declared=False)


async def _server_metadata(issuer: str, alias: str, fetch: Fetch) -> ServerMetadata | None:
    for place in issuer_metadata_urls(issuer):
        answer = await _got(place, fetch)
        if answer.status >= 500:
            raise failed("its authorization server does not answer")
        if answer.status != 200:
            continue
        try:
            found = _server(answer.body)
        except msgspec.DecodeError:
            raise failed("its authorization server has metadata that cannot be read") from None
        if not same_issuer(found.issuer, issuer, alias):
            raise failed("the metadata of its authorization server is that of another issuer")
        return found
    return None


async def _got(url: str, fetch: Fetch) -> Fetched:
    try:
        return await fetch("GET", url, _VERSION)
    except (EgressRefused, FetchFailed) as error:
        raise failed(f"its metadata: {error}") from None
