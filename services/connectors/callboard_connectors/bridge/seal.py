"""`requestState` of a held call: which call, whose, about what, until when; sealed so that only its worker can open it.

    cb1.<worker>.<base64url of nonce and AES-256-GCM ciphertext>

The worker's name stands in the clear, so that any router finds it. The key lives as long as the worker, as the held
call does. Above: `bridge.held`.
"""

from __future__ import annotations

import base64
import binascii
import os

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from callboard.contracts.calls import HELD_PREFIX
from callboard.contracts.problems import Problem

_NONCE = 12


class Held(msgspec.Struct, frozen=True, array_like=True):
    """What a state says. `digest` is of the request; `expires` in epoch seconds; `round` makes each state another."""

    conversation: str
    principal: str
    digest: str
    expires: float
    round: int


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Held).decode


class Seal:
    """Seals and opens the states of one worker."""

    def __init__(self, worker: str) -> None:
        self._worker = worker
        self._key = AESGCM(AESGCM.generate_key(256))

    def seal(self, held: Held) -> str:
        """The state as the client gets it."""
        nonce = os.urandom(_NONCE)
        sealed = nonce + self._key.encrypt(nonce, _pack(held), self._worker.encode())
        return f"{HELD_PREFIX}{self._worker}.{base64.urlsafe_b64encode(sealed).decode().rstrip('=')}"

    def open(self, state: str, principal: str, digest: str, now: float) -> Held:
        """The state again; `call.state_invalid` when it was altered, is another's, of another request, or too old."""
        try:
            encoded = state.removeprefix(HELD_PREFIX).partition(".")[2]
            sealed = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
            held = _unpack(self._key.decrypt(sealed[:_NONCE], sealed[_NONCE:], self._worker.encode()))
        except (ValueError, binascii.Error, InvalidTag, msgspec.DecodeError):
            raise _foreign() from None
        if held.principal != principal:
            raise _foreign()  # somebody else's is answered as what never was
        if held.digest != digest:
            raise Problem("call.state_invalid", "the requestState belongs to another request")
        if held.expires < now:
            raise Problem("call.state_invalid", "the requestState has expired; the call was cancelled")
        return held


def _foreign() -> Problem:
    return Problem("call.state_invalid", "the requestState is not one of ours")
