"""What a stored resource answers: prepared once, for both eras. Source: MCP, server/resources, reading."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from callboard.contracts.calls import MODERN
from callboard.contracts.definitions import StoredResource
from callboard_router.catalogue.domain import Entry


class Reading(NamedTuple):
    """The raw `result` of `resources/read`."""

    legacy: bytes
    modern: bytes

    def result(self, era: str) -> bytes:
        """As this revision of MCP has it."""
        return self.modern if era == MODERN else self.legacy


def readings(entries: Mapping[str, Entry]) -> dict[str, Reading]:
    """URI -> what reading a stored one of these answers."""
    return {uri: reading(uri, entry.resource) for uri, entry in entries.items() if entry.resource is not None}


def stored_etag(entries: Mapping[str, Entry]) -> str:
    """Another one when the content of a stored one of these is, of which its definition says nothing."""
    return "".join(entry.item.digest[7:23] for entry in entries.values() if entry.resource is not None)


def reading(uri: str, resource: StoredResource) -> Reading:
    """Another version may say otherwise at any moment, so nobody keeps it."""
    content = {"uri": uri}
    if resource.mime_type:
        content["mimeType"] = resource.mime_type
    if resource.text is not None:
        content["text"] = resource.text
    else:
        content["blob"] = resource.blob or ""
    body = b'{"contents":[' + msgspec.json.encode(content) + b"]"
    return Reading(body + b"}", body + b',"resultType":"complete","ttlMs":0,"cacheScope":"private"}')
