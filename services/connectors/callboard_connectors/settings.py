"""Settings of the connectors room (`CALLBOARD_CONNECTORS_*`), and the environment that children inherit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated

import msgspec

from callboard.platform.egress import private_hosts
from callboard.platform.settings import DatabaseSettings, load
from callboard_connectors.transports.commands import Commands

INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
"""The variables of this process that a stdio server sees; everything else comes from its definition."""


class ConnectorsSettings(DatabaseSettings, frozen=True, kw_only=True):
    """Times are seconds, sizes are bytes.

    `poll_seconds`: how often a server is listed again without being told; `max_body_bytes`: the longest answer
    (or line, or event) of an upstream; `bulkhead`: calls in flight per server and worker. `private_upstreams`: hosts
    and networks that servers may have although their addresses are not public, with commas; `*`: loopback and every
    private range. `stdio_commands`: what stdio servers may run, with semicolons: a glob for every word,
    `...` for any words that follow, then what its definition may set: `env:NAME` for a variable, `cwd:GLOB` for a
    folder (`uvx mcp-server-time env:TZ; mcp-server-git --repository * cwd:/srv/*`); empty: any, and in production none.
    """

    poll_seconds: Annotated[float, msgspec.Meta(gt=0, le=86400)] = 60.0
    max_body_bytes: Annotated[int, msgspec.Meta(ge=65536, le=1 << 30)] = 64 * 1024 * 1024
    bulkhead: Annotated[int, msgspec.Meta(ge=1, le=65536)] = 512
    connect_seconds: Annotated[float, msgspec.Meta(gt=0, le=60)] = 10.0
    allow_stdio: bool = True
    stdio_commands: str = ""
    private_upstreams: str = ""
    database_pool: int = 2

    def __post_init__(self) -> None:
        private_hosts("CALLBOARD_CONNECTORS_PRIVATE_UPSTREAMS", self.private_upstreams, production=self.production)
        _ = self.commands

    @property
    def commands(self) -> Commands:
        """What stdio servers may run; raises ValueError."""
        name = "CALLBOARD_CONNECTORS_STDIO_COMMANDS"
        return Commands.parse(name, self.stdio_commands, production=self.production)


def read(environ: Mapping[str, str] | None = None) -> ConnectorsSettings:
    """The settings from the environment; raises `SettingsRefused`."""
    return load(ConnectorsSettings, "connectors", environ)


def inherited_environment() -> dict[str, str]:
    """What a child process gets of this process's environment: nothing that could hold a secret."""
    return {name: os.environ[name] for name in INHERITED if name in os.environ}
