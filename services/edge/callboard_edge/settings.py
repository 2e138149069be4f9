"""Settings of the edge, from `CALLBOARD_EDGE_*`."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from msgspec import Meta

from callboard.platform.settings import CommonSettings


class EdgeSettings(CommonSettings, frozen=True, kw_only=True):
    """Times are seconds.

    `allowed_hosts`: Host header values to accept, besides the loopback names while listening on loopback; `*`
    accepts all (behind a proxy that checks). `allowed_origins`: browser origins that may call.
    `let_go`: after this long without a word a client of 2025-11-25 that waits for an answer is asked to close its
    connection and come back for the rest (0: never), for networks that do not hold idle connections.
    `deadline`: the longest that any call may take, whatever playbooks and servers allow; the connectors hold a
    call to what those say (`CALLBOARD_ROUTER_IDLE_SECONDS`, `CALLBOARD_ROUTER_MAX_SECONDS` where they say nothing).
    `silence`: after this long without a word the connectors are asked
    whether anybody still works on the call. `token_soft`/`token_hard`: age at which a verified token is verified
    again, and age at which it is not accepted without. `public_url`: where browsers reach this edge.
    `refusals_seconds`: how often at most authsvc is told of callers that are not known.
    `trusted_proxies`: networks (like `10.0.0.0/8, ::1/128`) whose `X-Forwarded-For` says where a request comes from.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8700
    allowed_hosts: str = ""
    allowed_origins: str = ""
    max_body_bytes: Annotated[int, Meta(ge=1024, le=60_000_000)] = 4 * 1024 * 1024
    deadline: Annotated[float, Meta(gt=0, le=86400)] = 3600.0
    silence: Annotated[float, Meta(gt=0, le=600)] = 3.0
    let_go: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    token_soft: Annotated[float, Meta(ge=0, le=300)] = 15.0
    token_hard: Annotated[float, Meta(gt=0, le=600)] = 60.0
    public_url: str = "http://127.0.0.1:8700"
    trusted_proxies: str = ""
    refusals_seconds: Annotated[float, Meta(gt=0, le=3600)] = 60.0

    def __post_init__(self) -> None:
        """Refuse networks that are none, by raising ValueError."""
        _ = self.proxy_networks

    @property
    def proxy_networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """The networks of `trusted_proxies`."""
        return tuple(ipaddress.ip_network(text.strip()) for text in self.trusted_proxies.split(",") if text.strip())

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the edge; anonymous playbooks are honoured only then."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
