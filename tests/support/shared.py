"""What several tests of a worker use and none of them changes, made when the first one wants it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from tests.support.agents import one_server, published
from tests.support.stack import Stack
from tests.support.upstreams.launch import command, running

T = TypeVar("T")


class Shared:
    """Things by key; `leaving` ends those that need an end."""

    def __init__(self, leaving: AsyncExitStack) -> None:
        self.leaving = leaving
        self._made: dict[Hashable, Any] = {}
        self._making: defaultdict[Hashable, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def of(self, key: Hashable, make: Callable[[], Awaitable[T]]) -> T:
        """The thing of that key."""
        async with self._making[key]:
            if key not in self._made:
                self._made[key] = await make()
        made: T = self._made[key]
        return made


async def everything_url(shared: Shared, era: str = "both") -> str:
    """Where an everything server is."""

    async def start() -> str:
        upstream = running("everything", "--transport", "http", "--era", era)
        return (await shared.leaving.enter_async_context(upstream)).url

    return await shared.of(("everything", era), start)


async def everything_behind(
    shared: Shared, stack: Stack, transport: str = "http", era: str = "both"
) -> tuple[str, str]:
    """Organisation and token of a playbook `p` over the everything server."""

    async def publish() -> tuple[str, str]:
        server: dict[str, Any] = {"command": command("everything", "--transport", "stdio", "--era", era)}
        if transport == "http":
            server = {"url": await everything_url(shared, era)}
        return await published(stack, one_server(server))

    return await shared.of((stack.url, "everything", transport, era), publish)
