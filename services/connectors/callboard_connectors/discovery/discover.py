"""List everything a server offers: all kinds, all pages, within bounds."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from callboard.contracts.definitions import CacheHint, Catalogue, CatalogueItem
from callboard_connectors.discovery.domain import (
    MEMBERS,
    METHODS,
    Kind,
    hint_of,
    judge,
    kinds_offered,
    quarantine_twins,
    strictest,
)
from callboard_connectors.sessions.session import Session
from callboard_connectors.transports.envelope import METHOD_NOT_FOUND, RpcRefused
from callboard_connectors.transports.failures import InvalidAnswer

MAX_PAGES = 200
_LIST_SECONDS = 30.0
_SLICE = 20  # items judged before the calls in flight get their turn

_page = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_cursor = msgspec.json.Decoder(str | None).decode

Known = dict[tuple[Kind, bytes], CatalogueItem]


class Discovery:
    """Discovers one server again and again; items that are as they were are not judged again."""

    def __init__(self) -> None:
        self._known: Known = {}

    async def look(self, session: Session, within: float = _LIST_SECONDS) -> Catalogue:
        """The catalogue now. Raises what `Session.ask` raises, and `InvalidAnswer`."""
        opening = session.opening
        seen: Known = {}
        found: dict[Kind, tuple[CatalogueItem, ...]] = {}
        caching: dict[str, CacheHint] = {}
        for kind, declared in kinds_offered(opening.capabilities).items():
            items, hints = await self._listed(session, kind, declared, within, seen)
            found[kind] = quarantine_twins(items)
            if (hint := strictest(hints)) is not None:
                caching[kind] = hint
        self._known = seen
        return Catalogue(
            era=opening.era,
            tools=found.get("tools", ()),
            prompts=found.get("prompts", ()),
            resources=found.get("resources", ()),
            templates=found.get("templates", ()),
            capabilities=opening.capabilities,
            server_info=opening.server_info,
            instructions=opening.instructions,
            caching=caching or msgspec.UNSET,
        )

    async def _listed(
        self, session: Session, kind: Kind, declared: bool, within: float, seen: Known
    ) -> tuple[list[CatalogueItem], list[CacheHint | None]]:
        items: list[CatalogueItem] = []
        hints: list[CacheHint | None] = []
        params: dict[str, object] = {}
        for _ in range(MAX_PAGES):
            try:
                page = await session.ask(METHODS[kind], params, within)
            except RpcRefused as refused:
                if refused.peek.code == METHOD_NOT_FOUND or not declared:
                    return items, hints
                raise InvalidAnswer(f"refused {METHODS[kind]}: {refused.peek.message[:200]}") from None
            raws, cursor = _split(page, kind)
            hints.append(hint_of(page))
            for raw in raws:
                items.append(self._judged(kind, bytes(raw), len(items), seen))
                if len(items) % _SLICE == 0:
                    await asyncio.sleep(0)
            if not cursor:
                return items, hints
            if cursor == params.get("cursor"):
                raise InvalidAnswer(f"gives the same page of {METHODS[kind]} again and again")
            params = {"cursor": cursor}
        raise InvalidAnswer(f"has more than {MAX_PAGES} pages of {METHODS[kind]}")

    def _judged(self, kind: Kind, raw: bytes, position: int, seen: Known) -> CatalogueItem:
        item = self._known.get((kind, raw))
        if item is None:
            item = judge(kind, raw, position)
        seen[kind, raw] = item
        return item


def _split(page: bytes, kind: Kind) -> tuple[list[Any], str | None]:
    try:
        members = _page(page)
        raws = members.get(MEMBERS[kind])
        cursor = members.get("nextCursor")
        return ([] if raws is None else _items(raws)), (None if cursor is None else _cursor(cursor))
    except msgspec.DecodeError:
        raise InvalidAnswer(f"answered {METHODS[kind]} with something else than a list") from None
