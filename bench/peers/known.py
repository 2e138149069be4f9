"""Everything that is measured, in the order of the table."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from bench.peers.bridges import BRIDGES
from bench.peers.callboard import CALLBOARD
from bench.peers.contextforge import CONTEXTFORGE
from bench.peers.fastmcp import FASTMCP
from bench.peers.litellm import LITELLM
from bench.peers.peer import HTTP, Endpoint, Peer, Place


@asynccontextmanager
async def _nothing(place: Place, kinds: Sequence[str]) -> AsyncIterator[dict[str, Endpoint]]:
    yield {HTTP: Endpoint(place.upstream.url, 0)}


DIRECT = Peer(
    name="direct",
    about="the load generator calls the upstream",
    start=_nothing,
    lacks={"stdio": "a load generator over HTTP cannot call it without something in between"},
)
PEERS: tuple[Peer, ...] = (DIRECT, CALLBOARD, *FASTMCP, *CONTEXTFORGE, *LITELLM, *BRIDGES)


def chosen(words: Sequence[str]) -> list[Peer]:
    """Those whose name contains one of the words, and always the direct path; without words all."""
    lowered = [word.strip().lower() for word in words if word.strip()]
    return [
        peer for peer in PEERS if not lowered or peer is DIRECT or any(word in peer.name.lower() for word in lowered)
    ]
