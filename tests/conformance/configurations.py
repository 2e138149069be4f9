"""The arrangements that the server leg runs in."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import ClassVar

from tests.conformance.suite import REVISIONS

ERAS = ("both", "2025", "2026")
SLOPPY = "sloppy"
TRANSPORTS = ("http", "stdio")
UPSTREAMS = (*product(ERAS, TRANSPORTS), (SLOPPY, "http"))
REPLICAS = (1, 2)
CONNECTORS = {1: 1, 2: 3}


@dataclass(frozen=True)
class Configuration:
    """A client of `revision` over an upstream that knows the era `upstream`, through `replicas` of each service.

    There may be more connectors (`CONNECTORS`). No replicas: the suite talks to the upstream itself. The sloppy
    upstream knows both eras, and the stateless one loosely.
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
        return playbook(self.upstream, self.transport)

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


def playbook(era: str, transport: str) -> str:
    return f"{era}-{transport}"


DIRECT = tuple(Configuration(revision, "both", "http", 0) for revision in REVISIONS)
CLIENTS = tuple(ClientSet(revision) for revision in REVISIONS)
THROUGH = tuple(
    Configuration(revision, upstream, transport, replicas)
    for replicas, (upstream, transport), revision in product(REPLICAS, UPSTREAMS, REVISIONS)
    if upstream != SLOPPY or replicas == 1
)
