"""Who a client is: registered here, or described by the document at its id."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec
import structlog

from callboard.contracts.oauth_server import AskClient, OAuthClient
from callboard.platform.egress import EgressRefused, FetchFailed
from callboard_authsvc.oauth_server.client import (
    MAX_DOCUMENT,
    Client,
    client_of_document,
    is_document_url,
    is_live,
    unknown_client,
)
from callboard_authsvc.oauth_server.dependencies import OAuthDependencies
from callboard_authsvc.oauth_server.limit import limit

log = structlog.get_logger()
MAX_ID: Final = 2000
FETCHES: Final = 60
"""Of documents, for one address, within a quarter of an hour."""


async def find_client(question: AskClient, use: OAuthDependencies) -> OAuthClient:
    """Raises `oauth.refused` (`invalid_client`) or `oauth.too_many`."""
    return (await client_of(question.client_id, use, question.address)).shown


async def client_of(client_id: str, use: OAuthDependencies, address: str = "", *, stale: bool = False) -> Client:
    """The live client of an id. `stale`: what its document said the last time is good enough."""
    if not 0 < len(client_id) <= MAX_ID or not client_id.isprintable():
        raise unknown_client()
    known = await use.clients.find(client_id)
    now = use.clock()
    if client_id.startswith("https://"):
        if known is not None and (stale or (known.fresh_until is not None and now < known.fresh_until)):
            return known
        return await _fetched(client_id, address, use, None if known is None else known.used_at)
    if known is None or not is_live(known, now):
        raise unknown_client()
    return known


async def _fetched(url: str, address: str, use: OAuthDependencies, used_at: datetime | None) -> Client:
    """What the document at this URL says now. What is wrong with it is not kept: the next one asks again."""
    if not is_document_url(url):
        raise unknown_client()
    await limit("oauth document", address, FETCHES, use)
    try:
        answer = await use.fetch("GET", url, None, b"", limit=MAX_DOCUMENT)
    except (EgressRefused, FetchFailed) as error:
        log.info("client_document_not_read", reason=str(error))
        raise unknown_client() from None
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if answer.status != 200 or not (kind == "application/json" or kind.endswith("+json")):
        log.info("client_document_not_read", status=answer.status)
        raise unknown_client()
    client = client_of_document(url, answer.body, answer.headers, use.private_uris, use.clock())
    await use.clients.keep(client, use.clock())
    return msgspec.structs.replace(client, used_at=used_at)
