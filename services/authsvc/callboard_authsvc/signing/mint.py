"""Sign an access token with the key of now."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import msgspec
from joserfc import jwt
from joserfc.jwk import ECKey

from callboard.contracts.problems import Problem
from callboard.kernel.access_tokens import ALGORITHM, LONGEST_SECONDS, TOKEN_TYPE, AccessClaims
from callboard_authsvc.signing.domain import Key, signing_at
from callboard_authsvc.signing.material import KeyRow, opened, place_of_signing_key
from callboard_authsvc.vault.keys import KeyEncryption
from callboard_authsvc.vault.sealing import NotOpened


class StoredKeys(Protocol):
    """Where the keys are."""

    async def all(self) -> list[tuple[Key, KeyRow]]:
        """The public set, in the order in which the keys sign."""


class Minter:
    """Mints what edges accept. Which key signs is read for each token: no instance uses one that is gone."""

    def __init__(self, table: StoredKeys, keys: KeyEncryption, clock: Callable[[], datetime]) -> None:
        self._table = table
        self._keys = keys
        self._clock = clock
        self._opened: tuple[str, ECKey] | None = None

    async def mint(self, claims: AccessClaims) -> str:
        """The token: a JWT, ES256, `at+jwt`, with the `kid` of the key that signs now.

        Raises `secret.unreadable` when the vault's key file is another one, ValueError for a life over
        `LONGEST_SECONDS`.
        """
        if not 0 < claims.exp - claims.iat <= LONGEST_SECONDS:
            raise ValueError(f"an access token lives at most {LONGEST_SECONDS} s")
        rows = await self._table.all()
        signing = signing_at([key for key, _ in rows], self._clock())
        if signing is None:
            raise Problem("internal.unexpected", "there is no signing key yet")
        row = next(row for key, row in rows if key == signing)
        header = {"alg": ALGORITHM, "typ": TOKEN_TYPE, "kid": row.kid}
        return jwt.encode(header, msgspec.structs.asdict(claims), await self._key(row), algorithms=[ALGORITHM])

    async def _key(self, row: KeyRow) -> ECKey:
        if self._opened is None or self._opened[0] != row.kid:
            try:
                private = await self._keys.unwrap(row.kek_id, row.wrapped, place_of_signing_key(row.kid))
            except NotOpened:
                words = f"the signing key {row.kid} was wrapped by another key-encryption key"
                raise Problem("secret.unreadable", words) from None
            self._opened = (row.kid, opened(private))
        return self._opened[1]
