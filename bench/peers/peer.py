"""What is measured: a gateway, where it is called, and what it is given to start with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

HTTP, STDIO = "http", "stdio"
KINDS = (HTTP, STDIO)
MODERN, HANDSHAKE = "2026", "2025"
ERAS = (MODERN, HANDSHAKE)

# The test upstream, whether it listens on a port or is a gateway's child: the name `accounting.label` gives it.
UPSTREAM_PROCESS = "tests.support.upstreams.echo"


@dataclass(frozen=True)
class Upstream:
    """The echo server: its URL, and the command that starts it over stdio."""

    url: str
    command: tuple[str, ...]
    pid: int


@dataclass(frozen=True)
class Place:
    """Where a gateway runs: an empty folder for its state, the upstream, and the folder its package is in."""

    folder: Path
    upstream: Upstream
    package: Path


@dataclass(frozen=True)
class Endpoint:
    """Where a running gateway is called; `pid` is the root of its processes, 0 when there are none."""

    url: str
    pid: int
    tool: str = "echo"
    headers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Package:
    """What to install: `registry` is pypi or npm, `version` exact; `extra` are further requirements with theirs."""

    registry: str
    name: str
    version: str
    extra: tuple[str, ...] = ()

    @property
    def requirements(self) -> list[str]:
        """As the registry's client wants them."""
        sign = "==" if self.registry == "pypi" else "@"
        return [f"{self.name}{sign}{self.version}", *self.extra]


Start = Callable[[Place, Sequence[str]], AbstractAsyncContextManager[dict[str, Endpoint]]]


@dataclass(frozen=True)
class Peer:
    """One line of the comparison.

    `start(place, kinds)` runs it over upstreams of these kinds and gives an endpoint for each: for all at once where
    it is `together`, else it is asked once for each kind. `lacks` says why a kind or an era is not measured, or
    "kind era" both. Who `keeps` something is started in the same place again, which must find what is there.
    A full gateway can have several upstreams behind one endpoint and rules for who may call.
    """

    name: str
    about: str
    start: Start
    package: Package | None = None
    full: bool = False
    together: bool = False
    keeps: bool = False
    lacks: Mapping[str, str] = field(default_factory=dict)

    def kinds(self) -> list[tuple[str, ...]]:
        """What each process of it is started for."""
        able = tuple(kind for kind in KINDS if kind not in self.lacks)
        return [able] if self.together else [(kind,) for kind in able]

    def why_not(self, kind: str, era: str) -> str | None:
        """Why this is not measured, if it is not."""
        return self.lacks.get(kind) or self.lacks.get(era) or self.lacks.get(f"{kind} {era}")
