"""Upcasts: pure functions from the JSON of an old event version to the next. Stored rows are never rewritten.

Keyed by (tag, schema_version); each returns the data of schema_version + 1. None has been needed yet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from callboard.contracts.events import Event, decode_event

Upcast = Callable[[dict[str, Any]], dict[str, Any]]

UPCASTS: dict[tuple[str, int], Upcast] = {}
CURRENT: dict[str, int] = {}
"""Tags whose current schema version is above 1."""


def read_event(tag: str, schema_version: int, payload: str) -> Event:
    """An event of any version that was ever written, as the newest struct."""
    if schema_version == CURRENT.get(tag, 1):
        event: Event = decode_event(payload)
        return event
    data = msgspec.json.decode(payload)
    while (step := UPCASTS.get((tag, schema_version))) is not None:
        data, schema_version = step(data), schema_version + 1
    newest: Event = msgspec.convert(data, Event)
    return newest
