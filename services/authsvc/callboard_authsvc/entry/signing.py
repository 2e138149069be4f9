"""Signing keys: asked for, rotated."""

from __future__ import annotations

from callboard.contracts import signing_subjects as subjects
from callboard.contracts.signing import AskSigningKeys, RotateSigningKey, SigningKeys
from callboard.platform.bus import Bus, register
from callboard_authsvc.signing.dependencies import SigningDependencies
from callboard_authsvc.signing.keep import list_signing_keys, rotate_signing_key


def register_signing(bus: Bus, use: SigningDependencies) -> None:
    """List, rotate."""

    async def keys(question: AskSigningKeys) -> SigningKeys:
        return await list_signing_keys(use)

    async def rotate(command: RotateSigningKey) -> SigningKeys:
        return await rotate_signing_key(command, use)

    register(bus, subjects.SIGNING_KEYS, keys)
    register(bus, subjects.ROTATE_SIGNING_KEY, rotate)
