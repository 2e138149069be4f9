"""List results as prepared bytes: built once per compilation, in pages, for both eras.

A cursor names the list it belongs to by its digest, so after a change it fails cleanly instead of skipping.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable

import msgspec

from callboard.contracts.calls import MODERN
from callboard.contracts.problems import Problem
from callboard_router.catalogue.domain import Entry

# A list that was filtered for a caller must not be shared between callers, and changes are pushed.
_MODERN_TAIL = b',"resultType":"complete","ttlMs":0,"cacheScope":"private"}'

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


class PreparedList:
    """All pages of one list of one compiled playbook; `key` is its name in the result."""

    def __init__(self, key: str, items: Iterable[bytes], page_size: int) -> None:
        definitions = list(items)
        self.etag = hashlib.sha256(b"\x00".join(definitions)).hexdigest()[:24]
        starts = range(0, max(len(definitions), 1), page_size)
        self._pages = [
            self._page(key, definitions[start : start + page_size], start + page_size, len(definitions))
            for start in starts
        ]
        self._page_size = page_size

    def _page(self, key: str, items: list[bytes], following: int, total: int) -> tuple[bytes, bytes]:
        body = b'{"' + key.encode() + b'":[' + b",".join(items) + b"]"
        if following < total:
            body += b',"nextCursor":"' + self._cursor(following) + b'"'
        return body + b"}", body + _MODERN_TAIL

    def _cursor(self, offset: int) -> bytes:
        return base64.urlsafe_b64encode(f"{self.etag}:{offset}".encode())

    def result(self, era: str, cursor: str | None) -> bytes:
        """The raw `result` of one page; an unknown or outdated cursor is `cursor.invalid`."""
        page = 0 if cursor is None else self._offset(cursor) // self._page_size
        if page >= len(self._pages):
            raise Problem("cursor.invalid", "the cursor points behind the end of the list")
        legacy, modern = self._pages[page]
        return modern if era == MODERN else legacy

    def _offset(self, cursor: str) -> int:
        try:
            etag, _, offset = base64.urlsafe_b64decode(cursor.encode()).decode().partition(":")
            number = int(offset)
        except (ValueError, binascii.Error):
            raise Problem("cursor.invalid", "the cursor is not one of this list") from None
        if etag != self.etag or number < 0:
            raise Problem("cursor.invalid", "the list has changed since this cursor was given")
        return number


def definition_bytes(entry: Entry) -> bytes:
    """The definition as agents see it: the upstream's bytes, with the name (and description) of the playbook."""
    raw = bytes(entry.item.raw)
    if entry.wire == entry.item.name and entry.description is None:
        return raw
    members = _members(raw)
    members["name"] = msgspec.Raw(_encode(entry.wire))
    if entry.description is not None:
        members["description"] = msgspec.Raw(_encode(entry.description))
    return _encode(members)
