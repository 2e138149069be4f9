"""Leases in the NATS KV bucket `CB_LEASES`, by plain JetStream messages: compare-and-set on the revision.

The bucket is made by projections; while it is not there, or the bus is not, every answer is "not now".
"""

from __future__ import annotations

import contextlib

import msgspec
import nats.errors
import nats.js.errors
from nats.js.client import JetStreamContext

from callboard.contracts import subjects
from callboard.platform.bus import Bus
from callboard_connectors.placement.domain import ABSENT, Lease

_STREAM = f"KV_{subjects.BUCKET_LEASES}"
_PREFIX = f"$KV.{subjects.BUCKET_LEASES}."
_EXPECTED = "Nats-Expected-Last-Subject-Sequence"
_OPERATION = "KV-Operation"
_WITHIN = 1.0
_WRONG_REVISION = (10071, 10164)
_AWAY = (nats.errors.Error, TimeoutError, OSError)

_decode = msgspec.json.Decoder(Lease).decode
_encode = msgspec.json.Encoder().encode

WRITES = f"{_PREFIX}>"
"""Subject of every write to the bucket, for `written`."""


class LeaseBucket:
    """See `placement.hold.Bucket`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._context: JetStreamContext | None = None

    @property
    def _stream(self) -> JetStreamContext:
        if self._context is None:
            self._context = self._bus.client.jetstream(timeout=_WITHIN)
        return self._context

    @property
    def connected(self) -> bool:
        """Whether the bus is there."""
        return self._bus.connected

    async def read(self, key: str) -> tuple[Lease | None, int] | None:
        """The lease and its revision, from the leader of the bucket."""
        try:
            found = await self._stream.get_last_msg(_STREAM, _PREFIX + key)
        except nats.js.errors.NotFoundError as error:
            # 10037: no such key; anything else not found is the bucket itself.
            return (None, 0) if error.err_code == 10037 else None
        except _AWAY:
            return None
        revision = found.seq or 0
        if (found.headers or {}).get(_OPERATION):
            return None, revision
        return lease_of(found.data), revision

    async def write(self, key: str, lease: Lease, last: int) -> int | None:
        """Write if the newest revision is `last`."""
        headers = {_EXPECTED: str(last)}
        try:
            return (await self._stream.publish(_PREFIX + key, _encode(lease), headers=headers)).seq
        except nats.js.errors.APIError as error:
            return 0 if error.err_code in _WRONG_REVISION else None
        except nats.js.errors.NoStreamResponseError:
            return ABSENT if self.connected else None
        except _AWAY:
            return None

    async def clear(self, key: str, last: int) -> None:
        """Give a lease back."""
        headers = {_EXPECTED: str(last), _OPERATION: "DEL"}
        with contextlib.suppress(*_AWAY):
            await self._stream.publish(_PREFIX + key, b"", headers=headers)

    async def answers(self, worker: str) -> bool:
        """Whether a worker answers: only "nobody there" is a no."""
        try:
            await self._bus.client.request(worker_subject(worker), b"", timeout=_WITHIN)
        except nats.errors.NoRespondersError:
            return False
        except _AWAY:
            pass
        return True


def worker_subject(worker: str) -> str:
    """Where a worker says that it is there."""
    return f"cb.worker.{worker}"


def written(subject: str, data: bytes) -> tuple[str, Lease | None]:
    """A write that went over the bus: the key, and the lease (None: given back)."""
    return subject.removeprefix(_PREFIX), lease_of(data)


def lease_of(data: bytes | None) -> Lease | None:
    """The lease in a value; an unreadable one is nobody's."""
    try:
        return _decode(data) if data else None
    except msgspec.DecodeError:
        return None
