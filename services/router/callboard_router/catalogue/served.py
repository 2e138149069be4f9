"""The compiled playbooks of all organisations, kept in step with the log; compiled again only what changed."""

from __future__ import annotations

from callboard.contracts.definitions import Catalogue, PlaybookContent
from callboard.contracts.playbooks import CatalogueChanged
from callboard.contracts.problems import Problem
from callboard.kernel.permissions import selects
from callboard_router.catalogue.combined import CombinedPlaybooks, Part
from callboard_router.catalogue.compiled import CompiledPlaybook
from callboard_router.catalogue.deadlines import Limits, of_server
from callboard_router.state import Organisation, RouterState


def catalogues_of(organisation: Organisation) -> dict[str, Catalogue]:
    """The last catalogue of every registered server that has been discovered."""
    return {
        name: server.catalogue
        for name, server in organisation.servers.items()
        if server.definition is not None and server.catalogue is not None
    }


MAX_SELECTIONS = 256
"""Selections of one organisation that are kept compiled; tokens with the same playbooks share one."""


class Served:
    """(organisation, playbook) -> the compiled current version; other versions are compiled when asked for."""

    def __init__(self, state: RouterState, page_size: int, limits: Limits) -> None:
        self._state = state
        self._page_size = page_size
        self._limits = limits
        self._current: dict[tuple[str, str], CompiledPlaybook] = {}
        self._pinned: dict[tuple[str, str, int], CompiledPlaybook] = {}
        self._parts: dict[tuple[str, str], Part] = {}
        self._combined: dict[str, dict[str, CombinedPlaybooks]] = {}

    def find(self, organisation: str, playbook: str, version: int = 0) -> CompiledPlaybook:
        """The playbook to answer with; `playbook.unknown` or `playbook.version_unknown` when there is none."""
        found = self._current.get((organisation, playbook))
        if found is None:
            raise Problem("playbook.unknown", f"there is no playbook {organisation}/{playbook}")
        if version in (0, found.version):
            return found
        return self._older(organisation, playbook, version)

    def select(self, organisation: str, selection: str) -> CombinedPlaybooks:
        """All current playbooks that a selection opens, as one. There may be none yet."""
        kept = self._combined.setdefault(organisation, {})
        found = kept.get(selection)
        if found is None:
            while len(kept) >= MAX_SELECTIONS:
                del kept[next(iter(kept))]
            owner = self._state.organisation(organisation)
            served = (name for name in owner.playbooks if (organisation, name) in self._current)
            parts = [self._part(organisation, name) for name in sorted(served) if selects(selection, name)]
            found = kept[selection] = CombinedPlaybooks(organisation, parts, self._page_size)
        return found

    def _part(self, organisation: str, playbook: str) -> Part:
        key = (organisation, playbook)
        if key not in self._parts:
            self._parts[key] = Part(self._current[key])
        return self._parts[key]

    def _older(self, organisation: str, playbook: str, version: int) -> CompiledPlaybook:
        key = (organisation, playbook, version)
        if key not in self._pinned:
            owner = self._state.organisation(organisation)
            content = owner.playbook(playbook).content(version)
            if content is None:
                raise Problem("playbook.version_unknown", f"playbook {playbook!r} has no version {version}")
            self._pinned[key] = self._compiled(organisation, playbook, version, content, owner)
        return self._pinned[key]

    def _compiled(
        self, organisation: str, playbook: str, version: int, content: PlaybookContent, owner: Organisation
    ) -> CompiledPlaybook:
        deadlines = {
            name: of_server(server.definition)
            for name, server in owner.servers.items()
            if server.definition is not None
        }
        return CompiledPlaybook(
            version,
            content,
            catalogues_of(owner),
            self._page_size,
            deadlines,
            self._limits,
            f"{organisation}/{playbook}",
            owner.definitions,
        )

    def is_registered(self, organisation: str, server: str) -> bool:
        """Whether the organisation has this server now, in whatever playbook."""
        owner = self._state.organisations.get(organisation)
        return owner is not None and owner.server(server).definition is not None

    def all(self) -> dict[tuple[str, str], CompiledPlaybook]:
        """Everything that is served now."""
        return self._current

    def compile(self, touched: set[tuple[str, str]]) -> list[CatalogueChanged]:
        """Compile these again; returns what agents should hear of."""
        changed = []
        for organisation, name in sorted(touched):
            for key in [k for k in self._pinned if k[:2] == (organisation, name)]:
                del self._pinned[key]
            before = self._current.pop((organisation, name), None)
            self._parts.pop((organisation, name), None)
            self._combined.pop(organisation, None)
            owner = self._state.organisations[organisation]
            playbook = owner.playbook(name)
            content = owner.pinned(name)
            if content is None or not playbook.served:
                if before is not None:
                    changed.append(CatalogueChanged(organisation=organisation, playbook=name, version=0, etags={}))
                continue
            after = self._compiled(organisation, name, playbook.current, content, owner)
            self._current[(organisation, name)] = after
            if before is None or before.etags != after.etags or before.version != after.version:
                changed.append(announcement(organisation, name, after))
        return changed


def announcement(organisation: str, playbook: str, compiled: CompiledPlaybook) -> CatalogueChanged:
    """What edges are told of a compiled playbook."""
    return CatalogueChanged(
        organisation=organisation, playbook=playbook, version=compiled.version, etags=compiled.etags
    )
