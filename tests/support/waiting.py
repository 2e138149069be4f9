"""Waiting for something to become true, in place of sleeping for a while."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

T = TypeVar("T")


@overload
async def eventually(check: Callable[[], Awaitable[T]], within: float = ..., every: float = ...) -> T: ...
@overload
async def eventually(check: Callable[[], T], within: float = ..., every: float = ...) -> T: ...
async def eventually(check: Callable[[], object], within: float = 5.0, every: float = 0.02) -> object:
    """Return the first true result of `check`, which may be a coroutine function; fail after `within` seconds.

    A check that asserts is tried again too, and its last failure is the one reported.
    """
    deadline = time.monotonic() + within
    while True:
        failure: AssertionError | None = None
        try:
            found = check()
            result = await found if inspect.isawaitable(found) else found
            if result:
                return result
        except AssertionError as error:
            failure = error
        if time.monotonic() >= deadline:
            raise failure or AssertionError(f"still not true after {within:g} s: {check!r}")
        await asyncio.sleep(every)
