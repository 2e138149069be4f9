"""The arrangements that the server leg runs in."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from tests.conformance.suite import EXTENSIONS, REVISIONS

ERAS = ("both", "2025", "2026")
REPLICAS = (1, 2)
# Upstreams as (era, transport). What is beside the two usual transports differs from them only between one worker and
# its upstream, so it runs with one of each service.
_TRANSPORTS = ("http", "stdio")
_USUAL = tuple(product(ERAS, _TRANSPORTS))
_BESIDE = (("2025", "sse"), ("both", "websocket"))
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
