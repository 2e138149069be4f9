"""The arrangements that the server leg runs in."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import ClassVar

from tests.conformance.suite import REVISIONS

ERAS = ("both", "2025", "2026")
TRANSPORTS = ("http", "stdio")
REPLICAS = (1, 2)
_NATIVE = {"2025-11-25": "2025", "2026-07-28": "2026"}


@dataclass(frozen=True)
class Configuration:
    """A client of `revision` over an upstream that knows the era `upstream`, through `replicas` of each service.

    No replicas: the suite talks to the upstream itself.
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
    def crosses_eras(self) -> bool:
        return self.upstream not in ("both", _NATIVE[self.revision])

    @property
    def playbook(self) -> str:
        return playbook(self.upstream, self.transport)

    def __str__(self) -> str:
        where = "directly" if self.direct else f"{self.replicas} of each"
        era = "both eras" if self.upstream == "both" else f"{self.upstream} only"
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
    Configuration(revision, era, transport, replicas)
    for replicas, era, transport, revision in product(REPLICAS, ERAS, TRANSPORTS, REVISIONS)
)
