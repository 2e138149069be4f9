"""What a list of a playbook says about keeping it: no more than every server said of its part. Pure.

Source: MCP 2026-07-28, server/utilities/caching (`ttlMs`, `cacheScope`).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from callboard.contracts.definitions import CacheHint, Catalogue, PlaybookDefinition
from callboard_router.catalogue.lists import NOT_KEPT

_CAPABILITY = {"tools": "tools", "prompts": "prompts", "resources": "resources", "templates": "resources"}
_any = msgspec.json.Decoder().decode


def caching_of(kind: str, definition: PlaybookDefinition, catalogues: Mapping[str, Catalogue]) -> CacheHint:
    """The shortest time and the most private scope that any server said of this kind of list.

    A server that said nothing, or was not reached yet, may change at any moment. A list that needs a token is never
    public. What only the playbook itself holds may be published anew at any moment, too.
    """
    said = [
        _said(kind, catalogues.get(server))
        for server, use in definition.servers.items()
        if use.enabled and _has_part(kind, catalogues.get(server))
    ]
    if not said:
        return NOT_KEPT
    public = definition.access == "anonymous" and all(hint.scope == "public" for hint in said)
    return CacheHint(ttl_ms=min(hint.ttl_ms for hint in said), scope="public" if public else "private")


def _said(kind: str, catalogue: Catalogue | None) -> CacheHint:
    return NOT_KEPT if catalogue is None else (catalogue.caching or {}).get(kind, NOT_KEPT)


def _has_part(kind: str, catalogue: Catalogue | None) -> bool:
    """Whether a server has, or may have, a part in this list."""
    if catalogue is None or getattr(catalogue, kind):
        return True
    return kind in (catalogue.caching or {}) or _CAPABILITY[kind] in _declared(catalogue)


def _declared(catalogue: Catalogue) -> dict[str, object]:
    declared = _any(catalogue.capabilities)
    return declared if isinstance(declared, dict) else {}
