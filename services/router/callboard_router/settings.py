"""Settings of the router, from `CALLBOARD_ROUTER_*`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from callboard.platform.settings import DatabaseSettings


class RouterSettings(DatabaseSettings, frozen=True, kw_only=True):
    """Times are seconds.

    `placement_wait`: how long a call waits for a connector to take a server that nobody holds.
    `page_size`: entries of one page of a list. `probe_wait`: bound on looking at a new server in an apply.
    `idle_seconds`/`max_seconds`: how long a call may be silent, and how long it may take at all, where neither the
    playbook nor the server says otherwise.
    """

    placement_wait: Annotated[float, Meta(ge=0, le=60)] = 8.0
    page_size: Annotated[int, Meta(ge=1, le=10000)] = 1000
    probe_wait: Annotated[float, Meta(gt=0, le=120)] = 25.0
    idle_seconds: Annotated[float, Meta(gt=0, le=86400)] = 60.0
    max_seconds: Annotated[float, Meta(gt=0, le=86400)] = 3600.0
