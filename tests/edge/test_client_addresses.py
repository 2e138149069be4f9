"""Where a request comes from: the connection, or what a proxy says that the settings trust."""

from __future__ import annotations

from pathlib import Path

import pytest

from callboard_edge.settings import EdgeSettings
from tests.edge.gateway import OPEN, running_gateway

SAID = {"X-Forwarded-For": "6.6.6.6, 203.0.113.7, 10.1.1.1"}


@pytest.mark.parametrize(
    ("trusted", "expected"),
    [
        ("", "127.0.0.1"),
        ("10.0.0.0/8", "127.0.0.1"),
        ("127.0.0.0/8", "10.1.1.1"),
        ("127.0.0.1/32, 10.0.0.0/8", "203.0.113.7"),
    ],
)
async def test_a_header_counts_from_a_trusted_proxy_only_and_only_what_that_one_saw(
    tmp_path: Path, trusted: str, expected: str
) -> None:
    async with running_gateway(tmp_path, trusted_proxies=trusted) as gateway:
        answer = await gateway.listed(path=f"/p/acme/{OPEN}/mcp", headers=SAID)
        assert answer.status_code == 200
        assert gateway.heads[-1][0].address == expected


@pytest.mark.parametrize("wrong", ["*", "proxy.example", "10.0.0.1/8", "10.0.0.0/33"])
def test_what_is_no_network_is_refused_at_the_start(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"does not appear|has host bits"):
        EdgeSettings(trusted_proxies=wrong)
