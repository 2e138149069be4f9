"""The arrangements that the server leg runs in."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import ClassVar

from tests.conformance.suite import EXTENSIONS, REVISIONS

ERAS = ("both", "2025", "2026")
SLOPPY = "sloppy"
REPLICAS = (1, 2)
CONNECTORS = {1: 1, 2: 3}
# Upstreams as (era, transport). What is beside the two usual transports differs from them only between one worker and
# its upstream, so it runs with one of each service.
_TRANSPORTS = ("http", "stdio")
_USUAL = tuple(product(ERAS, _TRANSPORTS))
_BESIDE = (("2025", "sse"), ("both", "websocket"), (SLOPPY, "http"))


@dataclass(frozen=True)
class Configuration:
    """A client of `revision` over an upstream that knows the era `upstream`, through `replicas` of each service.

    There may be more connectors (`CONNECTORS`). No replicas: the suite talks to the upstream itself. The sloppy
    upstream knows both eras, and the stateless one loosely. In place of a revision may stand an extension of the last.
    """

    revision: str
    upstream: str
    transport: str
    replicas: int

    leg: ClassVar = "server"

    @property
    def direct(self) -> bool:
        return self.replicas == 0

    @property
    def playbook(self) -> str:
        return playbook(self.revision if self.revision in EXTENSIONS else self.upstream, self.transport)

    @property
    def fixture(self) -> tuple[str, ...]:
        """The upstream that has all that is asked for, with its arguments."""
        return (self.revision, "--era", "2026") if self.revision in EXTENSIONS else ("everything",)

    def __str__(self) -> str:
        connectors = CONNECTORS.get(self.replicas, 0)
        more = f", {connectors} connectors" if connectors > self.replicas else ""
        where = "directly" if self.direct else f"{self.replicas} of each{more}"
        era = {"both": "both eras", SLOPPY: "sloppy"}.get(self.upstream, f"{self.upstream} only")
        return f"{self.revision} over {era}, {self.transport}, {where}"


@dataclass(frozen=True)
class ClientSet:
    """The connector as a client of `revision`; the suite plays the servers."""

    revision: str
    leg: ClassVar = "client"
    direct: ClassVar = False

    def __str__(self) -> str:
        return f"{self.revision} client, the connector"


@dataclass(frozen=True)
class AuthorizationSet:
    """Callboard as the authorization server of a client of `revision`, for a playbook or (not `bound`) for nothing."""

    revision: str
    bound: bool

    leg: ClassVar = "authorization"
    direct: ClassVar = False

    def __str__(self) -> str:
        return f"{self.revision} authorization server, {'for a playbook' if self.bound else 'no resource'}"


Arrangement = Configuration | ClientSet | AuthorizationSet


def playbook(era: str, transport: str) -> str:
    return f"{era}-{transport}"


def upstreams(replicas: int) -> tuple[tuple[str, str], ...]:
    """The (era, transport) of every "everything" upstream behind so many of each service."""
    return (*_USUAL, *_BESIDE) if replicas == 1 else _USUAL


def extensions() -> tuple[tuple[str, str], ...]:
    """The (extension, transport) of every upstream that has one."""
    return tuple(product(EXTENSIONS, _TRANSPORTS))


DIRECT = (
    *(Configuration(revision, "both", "http", 0) for revision in REVISIONS),
    *(Configuration(extension, "2026", "http", 0) for extension in EXTENSIONS),
)
CLIENTS = tuple(ClientSet(revision) for revision in REVISIONS)
AUTHORIZATION = tuple(AuthorizationSet(REVISIONS[-1], bound) for bound in (True, False))
THROUGH = tuple(
    configuration
    for replicas in REPLICAS
    for configuration in (
        *(
            Configuration(revision, era, transport, replicas)
            for (era, transport), revision in product(upstreams(replicas), REVISIONS)
        ),
        *(Configuration(extension, "2026", transport, replicas) for extension, transport in extensions()),
    )
)
