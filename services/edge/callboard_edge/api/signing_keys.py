"""The keys that sign access tokens: those of the whole installation, and so its administrator's."""

from __future__ import annotations

from litestar import get, post

from callboard.contracts import signing_subjects as subjects
from callboard.contracts.layers import SYSTEM
from callboard.contracts.signing import AskSigningKeys, NewSigningKey, RotateSigningKey, SigningKeys
from callboard.platform.bus import Bus
from callboard_edge.api.caller import Caller, Stamp

_KEYS = "/system/signing-keys"


@get(_KEYS, summary="The keys that sign access tokens")
async def signing_keys(bus: Bus, caller: Caller) -> SigningKeys:
    """Their public halves, the oldest first; the same that everybody reads at `/jwks.json`."""
    caller.require_administrator()
    return await bus.ask(subjects.SIGNING_KEYS, AskSigningKeys(), SigningKeys)


@post(_KEYS, summary="Publish the next signing key", status_code=200)
async def rotate_signing_key(bus: Bus, caller: Caller, stamp: Stamp, data: NewSigningKey) -> SigningKeys:
    """It signs a day from now; `at_once`, for a key that leaked: now, and every access token there is gets refused."""
    caller.require_administrator()
    command = RotateSigningKey(
        command_id=stamp.command_id(),
        organisation=SYSTEM,
        at_once=data.at_once,
        comment=data.comment,
        actor=caller.actor,
    )
    return await bus.ask(subjects.ROTATE_SIGNING_KEY, command, SigningKeys)


ROUTES = [signing_keys, rotate_signing_key]
