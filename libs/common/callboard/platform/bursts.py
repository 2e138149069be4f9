"""Work that is wanted again and again, done in bursts: soon after the first wish, and ever less often while they go on.

Above: what is told of callers who were refused. Below: nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

log = structlog.get_logger()

FIRST_SECONDS: Final = 2.0
"""What comes together is done together."""
LONGEST: Final = 16
"""How many times `every_seconds` there are between two bursts at most: whoever never stops makes no more of them."""


async def in_bursts(wanted: asyncio.Event, work: Callable[[], Awaitable[None]], every_seconds: float) -> None:
    """Until cancelled. `work` clears `wanted`, and may set it again; what it raises is logged, and it is done again."""
    pause = every_seconds
    while True:
        await wanted.wait()
        await asyncio.sleep(min(FIRST_SECONDS, every_seconds))
        try:
            await work()
        except Exception as error:
            log.error("burst_failed", error=type(error).__name__, exc_info=error)
            wanted.set()
        await asyncio.sleep(pause)
        pause = min(pause * 2, every_seconds * LONGEST) if wanted.is_set() else every_seconds
