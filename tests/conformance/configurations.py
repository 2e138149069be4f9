"""The arrangements that the server leg runs in."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from tests.conformance.suite import EXTENSIONS, REVISIONS

ERAS = ("both", "2025", "2026")
TRANSPORTS = ("http", "stdio")
REPLICAS = (1, 2)
_NATIVE = {"2025-11-25": "2025", "2026-07-28": "2026", "tasks": "2026"}


@dataclass(frozen=True)
class Configuration:
    """A client of `revision` over an upstream that knows the era `upstream`, through `replicas` of each service.

    No replicas: the suite talks to the upstream itself. In place of a revision may stand an extension of the last one.
    """

    revision: str
    upstream: str
    transport: str
    replicas: int

    @property
    def direct(self) -> bool:
        return self.replicas == 0

    @property
    def crosses_eras(self) -> bool:
        return self.upstream not in ("both", _NATIVE[self.revision])

    @property
    def playbook(self) -> str:
        return playbook(self.revision if self.revision in EXTENSIONS else self.upstream, self.transport)

    @property
    def fixture(self) -> tuple[str, ...]:
        """The upstream that has all that is asked for, with its arguments."""
        return (self.revision, "--era", "2026") if self.revision in EXTENSIONS else ("everything",)

    def __str__(self) -> str:
        where = "directly" if self.direct else f"{self.replicas} of each"
        era = "both eras" if self.upstream == "both" else f"{self.upstream} only"
        return f"{self.revision} over {era}, {self.transport}, {where}"


def playbook(era: str, transport: str) -> str:
    return f"{era}-{transport}"


DIRECT = (
    *(Configuration(revision, "both", "http", 0) for revision in REVISIONS),
    *(Configuration(extension, "2026", "http", 0) for extension in EXTENSIONS),
)
THROUGH = tuple(
    Configuration(revision, era, transport, replicas)
    for replicas in REPLICAS
    for era, transport, revision in (
        *product(ERAS, TRANSPORTS, REVISIONS),
        *product(("2026",), TRANSPORTS, EXTENSIONS),
    )
)
