"""Canonical JSON and its SHA-256: the identity of a tool definition and of a playbook version.

Canonical form: keys sorted by code point, no white space, UTF-8, numbers as Python's json writes them.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgspec

from callboard.kernel.plain_json import plain


def canonical(value: Any) -> bytes:
    """The canonical JSON bytes of plain data (dict, list, str, int, float, bool, None)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


def digest_of(value: Any) -> str:
    """`sha256:<hex>` of the canonical form of plain data."""
    return "sha256:" + hashlib.sha256(canonical(value)).hexdigest()


def digest_of_json(raw: bytes | msgspec.Raw) -> str:
    """The digest of a JSON text, whatever its white space and key order."""
    return digest_of(plain(raw))


def digest_of_struct(value: msgspec.Struct) -> str:
    """The digest of a struct in its JSON form."""
    return digest_of(json.loads(msgspec.json.encode(value)))
