"""List results as prepared bytes: built once per compilation, in pages, for both eras.

A cursor is a digest of the list, its playbook and the place in it. Any router knows those of the lists that it serves;
one of another list, of one that has changed since, or one that somebody made up is none of them and fails cleanly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from callboard.contracts.calls import MODERN
from callboard.contracts.definitions import CacheHint
from callboard.contracts.problems import Problem
from callboard.kernel.overrides import overridden
from callboard_router.catalogue.domain import Entry

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode
NOT_KEPT = CacheHint(ttl_ms=0, scope="private")


class PreparedList:
    """All pages of one list of one compiled playbook; `key` is its name in the result, `place` the playbook's."""

    def __init__(
        self, key: str, items: Iterable[bytes], page_size: int, place: str = "", caching: CacheHint = NOT_KEPT
    ) -> None:
        self.caching = caching
        definitions = list(items)
        self.etag = hashlib.sha256(b"\x00".join(definitions)).hexdigest()[:24]
        starts = range(0, max(len(definitions), 1), page_size)
        cursors = [self._cursor(place, key, start) for start in starts]
        tail = b',"resultType":"complete","ttlMs":%d,"cacheScope":"%b"}' % (caching.ttl_ms, caching.scope.encode())
        self._pages: dict[str | None, tuple[bytes, bytes]] = {}
        for number, start in enumerate(starts):
            following = cursors[number + 1] if number + 1 < len(cursors) else ""
            body = _page(key, definitions[start : start + page_size], following)
            self._pages[cursors[number] if number else None] = (body + b"}", body + tail)

    def _cursor(self, place: str, key: str, offset: int) -> str:
        return hashlib.sha256(f"{place}\n{key}\n{self.etag}\n{offset}".encode()).hexdigest()[:32]

    def result(self, era: str, cursor: str | None) -> bytes:
        """The raw `result` of one page; a cursor that is not of this list as it is now is `cursor.invalid`."""
        page = self._pages.get(cursor)
        if page is None:
            raise Problem("cursor.invalid", "the cursor is not one of this list as it is now")
        legacy, modern = page
        return modern if era == MODERN else legacy


def _page(key: str, items: list[bytes], following: str) -> bytes:
    """All of a page but its end."""
    body = b'{"' + key.encode() + b'":[' + b",".join(items) + b"]"
    return body + b',"nextCursor":"' + following.encode() + b'"' if following else body


def definition_bytes(entry: Entry) -> bytes:
    """The definition as agents see it: the upstream's bytes, with the name and the override of the playbook."""
    raw = bytes(entry.item.raw)
    if entry.override is not None:
        return overridden(raw, entry.wire, entry.override)
    if entry.wire == entry.item.name:
        return raw
    members = _members(raw)
    members["name"] = msgspec.Raw(_encode(entry.wire))
    return _encode(members)
