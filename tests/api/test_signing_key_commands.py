"""`callboard signing-key`: the keys of access tokens belong to the administrator of the installation."""

from __future__ import annotations

from collections.abc import Callable

import httpx2

from tests.api.conftest import Api
from tests.support.stack import Stack


async def test_an_administrator_publishes_the_next_key_once_and_nobody_else_may(
    installation: Stack, organisation: str, api_of: Callable[[str | None], Api]
) -> None:
    before = (await installation.cli_json("signing-key", "ls"))["keys"]
    first = (await installation.cli_json("signing-key", "rotate", "-m", "a test"))["keys"]
    second = (await installation.cli_json("signing-key", "rotate"))["keys"]
    assert len(before) <= len(first) == len(second) == 2
    assert first == second, "one waits already"
    async with httpx2.AsyncClient() as http:
        published = (await http.get(f"{installation.url}/jwks.json")).json()["keys"]
    assert [key["kid"] for key in published] == [key["kid"] for key in first]

    owner = api_of(await installation.token(organisation, "owner", "--scope", "own"))
    assert (await owner("GET", "/system/signing-keys")).status_code == 403
    assert (await owner("POST", "/system/signing-keys", json={})).status_code == 403
