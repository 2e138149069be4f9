"""Who owns a server, as far as it can be judged from one worker; pure.

No two clocks are compared: a lease is dead when *this* worker has seen its revision stand still for the whole
time to live, or when its worker does not answer at all.
"""

from __future__ import annotations

import hashlib

import msgspec

RENEW_SECONDS = 1.0
TTL_SECONDS = 4.0
SILENT_SECONDS = 1.3
"""Without a renewal for this long, the owner is asked whether it lives."""
CUT_OFF_SECONDS = 12.0
"""Without the bus nobody can take over, so an owner that is cut off waits this long before it gives up."""
MAX_DELAY_SECONDS = 0.3
ABSENT = -1
"""In place of a revision: there is no bucket."""


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The value of a lease. `generation` is the revision of its acquisition, 0 in the value that acquires it.

    `expires` (epoch ms) is for people who look at the bucket.
    """

    worker: str
    generation: int = 0
    expires: int = 0


class Sighting(msgspec.Struct, frozen=True):
    """A revision of somebody's lease and since when (monotonic seconds) it is the newest one we saw."""

    worker: str
    revision: int
    since: float


def sighted(before: Sighting | None, worker: str, revision: int, now: float) -> Sighting:
    """After the lease was read once more."""
    if before is not None and before.revision == revision:
        return before
    return Sighting(worker, revision, now)


def is_dead(sighting: Sighting, now: float) -> bool:
    """Whether a lease has stood still for its time to live."""
    return now - sighting.since >= TTL_SECONDS


def is_lost(renewed_at: float, connected: bool, now: float) -> bool:
    """Whether we must take our own lease for lost, because it could not be renewed for too long."""
    return now - renewed_at >= (TTL_SECONDS if connected else CUT_OFF_SECONDS)


def delay(worker: str, server: str) -> float:
    """How long a worker waits before it tries for a free lease: different for each pair, so that leases spread.

    Rendezvous hashing: the order of the workers for one server does not depend on which workers there are.
    """
    digest = hashlib.sha256(f"{worker}/{server}".encode()).digest()
    return MAX_DELAY_SECONDS * int.from_bytes(digest[:4], "big") / 0xFFFF_FFFF
