from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio

from tests.support.stack import Stack, running_stack
from tests.support.upstreams.launch import command

HERE = str(Path(__file__).parent)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of them share one installation, so they run on one worker."""
    for item in items:
        if str(item.path).startswith(HERE):
            item.add_marker(pytest.mark.xdist_group("api"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def installation(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A whole Callboard, started as a user starts it."""
    quick = {f"CALLBOARD_{room}_REFUSALS_SECONDS": "0.5" for room in ("EDGE", "AUTHSVC")}
    async with running_stack(tmp_path_factory.mktemp("api") / "data", settings=quick) as running:
        yield running


class Api:
    """The management API as one token sees it."""

    def __init__(self, url: str, token: str | None) -> None:
        self._url = f"{url}/api/v1"
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=self._url, headers=self._headers, timeout=30)

    async def __call__(self, method: str, path: str, **more: object) -> httpx2.Response:
        async with self.client() as http:
            return await http.request(method, f"{self._url}{path}", **more)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def api_of(installation: Stack) -> Callable[[str | None], Api]:
    return lambda token: Api(installation.url, token)


@pytest.fixture(scope="session")
def admin(installation: Stack) -> Api:
    return Api(installation.url, installation.admin_token)


@pytest_asyncio.fixture(loop_scope="session")
async def organisation(admin: Api) -> str:
    """A new organisation, so that tests do not see each other's."""
    name = f"t{os.urandom(4).hex()}"
    created = await admin("POST", "/organisations", json={"organisation": name})
    assert created.status_code == 200, created.text
    return name


@pytest.fixture(scope="session")
def echo_server() -> dict[str, object]:
    """A definition of a server that starts in a moment."""
    return {"command": command("echo", "--stdio")}
