"""Public keys of OAuth clients that name where they are (`jwks_uri`), kept for some minutes."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from callboard.platform.egress import EgressRefused, FetchFailed
from callboard_authsvc.clock import Clock
from callboard_authsvc.upstream_oauth.ports import Fetch

log = structlog.get_logger()
FRESH: Final = timedelta(minutes=5)
PAUSE: Final = timedelta(minutes=1)
"""A key that is not known, or keys that could not be read, are looked for once in this time."""
KEPT: Final = 256
_LIMIT: Final = 65_536


class _Place:
    """What was found at one URL; `keys` None: nothing that can be used."""

    def __init__(self) -> None:
        self.keys: KeySet | None = None
        self.tried_at = datetime.min.replace(tzinfo=UTC)
        self.reading = asyncio.Lock()


class ClientKeys:
    """Each instance keeps its own; the URLs that were asked for last stay."""

    def __init__(self, fetch: Fetch, clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._places: OrderedDict[str, _Place] = OrderedDict()

    async def at(self, url: str, kid: str, allow: Callable[[], Awaitable[None]]) -> KeySet | None:
        """The keys at this URL, None when there are none. `kid`: which is wanted, empty for any.

        `allow` is awaited before anything is fetched, and what it raises is raised.
        """
        place = self._places.setdefault(url, _Place())
        self._places.move_to_end(url)
        if len(self._places) > KEPT:
            self._places.popitem(last=False)
        async with place.reading:
            now = self._clock()
            age = now - place.tried_at
            known = place.keys is not None and (not kid or any(key.kid == kid for key in place.keys))
            if age >= FRESH or (age >= PAUSE and not known):
                await allow()
                place.tried_at = now
                place.keys = await self._read(url)
            return place.keys

    async def _read(self, url: str) -> KeySet | None:
        try:
            answer = await self._fetch("GET", url, None, b"", limit=_LIMIT)
            return KeySet.import_key_set(json.loads(answer.body if answer.status == 200 else b""))
        except (EgressRefused, FetchFailed, JoseError, ValueError, KeyError, TypeError, RecursionError) as error:
            log.info("client_keys_not_read", reason=type(error).__name__)
            return None
