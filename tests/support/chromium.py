"""A real browser for the tests of pages: Debian's Chromium in the hands of Playwright.

It is the machine's own (`apt-get install chromium`, or CALLBOARD_TEST_CHROMIUM names another); Playwright downloads
none. No host but this one exists for it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, async_playwright

PATH = os.environ.get("CALLBOARD_TEST_CHROMIUM") or shutil.which("chromium") or ""
needs_chromium = pytest.mark.skipif(not PATH, reason="there is no Chromium on this machine: apt-get install chromium")
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
WAIT_MILLISECONDS = 15_000.0


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Run one; every context of it is a browser with cookies of its own, and leaves nothing behind."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=PATH, args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            await browser.close()
