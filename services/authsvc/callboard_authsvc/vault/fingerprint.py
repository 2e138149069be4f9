"""What the log may know of a value: enough to see a command id used for another value, nothing to guess it by.

The log keeps a SHA-256 of each command. Of a short value that would be an oracle for whoever has a copy of the
database, so the value is replaced by an HMAC under a key that is not in the database.
"""

from __future__ import annotations

import hashlib
import hmac

import msgspec

from callboard.contracts.access import StoreSecret


class Fingerprint:
    """Takes the value out of a command."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def without_value(self, command: StoreSecret) -> StoreSecret:
        """The command with an HMAC-SHA-256 in the place of its value."""
        digest = hmac.digest(self._key, command.value.encode(), hashlib.sha256).hex()
        return msgspec.structs.replace(command, value=digest)
