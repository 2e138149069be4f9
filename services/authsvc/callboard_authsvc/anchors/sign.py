"""`cb.ask.authsvc.sign_anchor`: the head of an organisation's log, signed with the key of this installation."""

from __future__ import annotations

import asyncpg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from callboard.contracts.audit import Anchor, SignAnchor
from callboard.contracts.problems import Problem
from callboard.kernel.anchors import statement
from callboard.platform.postgres import persist, sql
from callboard_authsvc.clock import Clock

_HERE = "callboard_authsvc"


class Anchors:
    """Reads the head itself: nobody can have another one signed."""

    def __init__(self, pool: asyncpg.Pool, key: bytes, clock: Clock) -> None:
        self._pool = pool
        self._key = Ed25519PrivateKey.from_private_bytes(key)
        self._public = self._key.public_key().public_bytes_raw().hex()
        self._clock = clock

    async def sign(self, question: SignAnchor) -> Anchor:
        """The anchor; raises `organisation.unknown`."""
        organisation = question.organisation
        head = await persist(lambda: self._pool.fetchrow(sql(_HERE, "log_head"), organisation))
        if head is None:
            raise Problem("organisation.unknown", f"there is no organisation {organisation!r}")
        at, seq, found = self._clock(), int(head["seq"]), bytes(head["hash"]).hex()
        return Anchor(
            organisation=organisation,
            seq=seq,
            hash=found,
            signed_at=at,
            public_key=self._public,
            signature=self._key.sign(statement(organisation, seq, found, at)).hex(),
        )
