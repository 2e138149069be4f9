"""The form of Callboard's tokens: `cbk_` + 8 characters of key id + 32 of secret + 6 of CRC-32, base 62.

The checksum lets junk be dropped before anything is looked up and helps secret scanners. Other secrets that are shown
once have the same form behind another prefix.
"""

from __future__ import annotations

import zlib

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PREFIX = "cbk_"
SESSION_PREFIX = "cbl_"
INVITATION_PREFIX = "cbi_"
RESET_PREFIX = "cbp_"
CODE_PREFIX = "cbo_"
REFRESH_PREFIX = "cbr_"
CLIENT_SECRET_PREFIX = "cbs_"
KEY_ID, SECRET, CHECKSUM = 8, 32, 6


def base62(data: bytes, length: int) -> str:
    """The last `length` base-62 digits of the bytes as a number."""
    number, digits = int.from_bytes(data, "big"), ""
    for _ in range(length):
        number, remainder = divmod(number, 62)
        digits = ALPHABET[remainder] + digits
    return digits


def _checksum(body: str) -> str:
    return base62(zlib.crc32(body.encode()).to_bytes(4, "big"), CHECKSUM)


def compose(random_bytes: bytes, prefix: str = PREFIX) -> str:
    """A token from 40 random bytes."""
    body = prefix + base62(random_bytes[:8], KEY_ID) + base62(random_bytes[8:40], SECRET)
    return body + _checksum(body)


def key_id_of(token: str, prefix: str = PREFIX) -> str | None:
    """The public part of a well-formed token; None for anything else."""
    if len(token) != len(prefix) + KEY_ID + SECRET + CHECKSUM or not token.startswith(prefix):
        return None
    body, check = token[:-CHECKSUM], token[-CHECKSUM:]
    if not token.isascii() or _checksum(body) != check:
        return None
    return token[len(prefix) : len(prefix) + KEY_ID]
