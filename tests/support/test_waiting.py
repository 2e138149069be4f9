"""A promise is broken by the product and not by the machine."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

import pytest

from tests.support import waiting
from tests.support.waiting import Stalls, promised


async def test_what_does_not_come_breaks_a_promise() -> None:
    with pytest.raises(AssertionError, match=r"after 0\.1 s"):
        await promised(lambda: False, within=0.1)


async def test_a_promise_is_kept_although_the_machine_ran_something_else() -> None:
    began = time.monotonic()
    asyncio.get_running_loop().call_later(0.02, time.sleep, 0.4)
    await promised(lambda: time.monotonic() - began > 0.6, within=0.3)


@pytest.mark.parametrize(("worked", "excused"), [(0.0, True), (2.0, False)], ids=["machine", "product"])
async def test_time_in_which_the_process_works_itself_counts(
    monkeypatch: pytest.MonkeyPatch, worked: float, excused: bool
) -> None:
    now = [0.0, 0.0]
    clock = SimpleNamespace(monotonic=lambda: now[0], process_time=lambda: now[1])
    monkeypatch.setattr(waiting, "time", clock)
    async with Stalls() as stalls:
        now[:] = [2.0, worked]
        assert (stalls.excused > 1.0) is excused
        assert (stalls.excused > 0.0) is excused
