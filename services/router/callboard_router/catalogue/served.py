"""The compiled playbooks of all organisations, kept in step with the log; compiled again only what changed."""

from __future__ import annotations

from callboard.contracts.calls import RpcHead
from callboard.contracts.definitions import Catalogue, PlaybookContent
from callboard.contracts.playbooks import CatalogueChanged
from callboard.contracts.problems import Problem
from callboard.kernel.permissions import selects
from callboard_router.catalogue.combined import CombinedPlaybooks, Part
from callboard_router.catalogue.compiled import CompiledPlaybook
from callboard_router.catalogue.deadlines import Limits, of_server
from callboard_router.catalogue.division import Division
from callboard_router.layers.under import outdated
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
MAX_CANDIDATES = 16
"""Candidates that are kept compiled; whoever offered one that had to go offers it again."""


class Served:
    """(organisation, playbook) -> the compiled current version; other versions are compiled when asked for."""

    def __init__(self, state: RouterState, page_size: int, limits: Limits) -> None:
        self._state = state
        self._page_size = page_size
        self._limits = limits
        self._current: dict[tuple[str, str], CompiledPlaybook] = {}
        self._pinned: dict[tuple[str, str, int], CompiledPlaybook] = {}
        self._parts: dict[tuple[str, str, int], Part] = {}
        self._combined: dict[str, dict[tuple[object, ...], CombinedPlaybooks]] = {}

    def like(self, state: RouterState) -> Served:
        """One with the same settings over another state; nothing is compiled yet."""
        return Served(state, self._page_size, self._limits)

    def find(self, organisation: str, playbook: str, head: RpcHead) -> CompiledPlaybook:
        """The playbook to answer with; `playbook.unknown` or `playbook.version_unknown` when there is none."""
        found = self._current.get((organisation, playbook))
        if found is None:
            raise Problem("playbook.unknown", f"there is no playbook {organisation}/{playbook}")
        version = head.version
        if version == 0 and found.division is not None:
            version = found.division.version_for(head)
        if version in (0, found.version):
            return found
        return self._older(organisation, playbook, version)

    def select(self, organisation: str, head: RpcHead) -> CombinedPlaybooks:
        """All playbooks that the selection of a request opens, as one, each in its caller's version; perhaps none."""
        found = self._union(organisation, head.selection, {})
        if not found.divided:
            return found
        chosen = ((owner, owner.division.version_for(head)) for owner in found.divided if owner.division is not None)
        others = {owner.name: version for owner, version in chosen if version not in (0, owner.version)}
        return self._union(organisation, head.selection, others) if others else found

    def _union(self, organisation: str, selection: str, others: dict[str, int]) -> CombinedPlaybooks:
        """`others`: playbook -> the version to take in place of the current one."""
        kept = self._combined.setdefault(organisation, {})
        key = (selection, *others.items())
        found = kept.get(key)
        if found is None:
            while len(kept) >= MAX_SELECTIONS:
                del kept[next(iter(kept))]
            owner = self._state.organisation(organisation)
            served = sorted(name for name in owner.playbooks if (organisation, name) in self._current)
            parts = [self._part(organisation, name, others.get(name, 0)) for name in served if selects(selection, name)]
            found = kept[key] = CombinedPlaybooks(organisation, parts, self._page_size)
        return found

    def _part(self, organisation: str, playbook: str, version: int) -> Part:
        key = (organisation, playbook, version)
        if key not in self._parts:
            older = self._older(organisation, playbook, version) if version else None
            self._parts[key] = Part(older or self._current[(organisation, playbook)])
        return self._parts[key]

    def _older(self, organisation: str, playbook: str, version: int) -> CompiledPlaybook:
        key = (organisation, playbook, version)
        if key not in self._pinned:
            owner = self._state.organisation(organisation)
            content = owner.playbook(playbook).content(version)
            if content is None:
                raise Problem("playbook.version_unknown", f"playbook {playbook!r} has no version {version}")
            compiled = self._compiled(organisation, playbook, version, content, owner)
            division = self._current[(organisation, playbook)].division
            self._pinned[key] = compiled if division is None else compiled.divided_by(division)
        return self._pinned[key]

    def try_out(self, organisation: str, playbook: str, number: int, content: PlaybookContent) -> None:
        """Serve a candidate under its negative number, until the playbook or a server of it changes."""
        if (organisation, playbook) not in self._current:
            raise Problem("playbook.unknown", f"there is no playbook {organisation}/{playbook}")
        key = (organisation, playbook, number)
        if key in self._pinned:
            return
        candidates = [kept for kept in self._pinned if kept[2] < 0]
        for oldest in candidates[: len(candidates) + 1 - MAX_CANDIDATES] if len(candidates) >= MAX_CANDIDATES else ():
            del self._pinned[oldest]
        owner = self._state.organisation(organisation)
        self._pinned[key] = self._compiled(organisation, playbook, number, content, owner)

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

    def outdated(self, organisation: str, playbook: str, version: int) -> tuple[str, ...]:
        """The layers that have changed since the current version was published; nothing for an older one."""
        owner = self._state.organisation(organisation)
        content = owner.playbook(playbook).content()
        current = owner.playbook(playbook).current
        return outdated(content, owner) if content is not None and version == current else ()

    def is_registered(self, organisation: str, server: str) -> bool:
        """Whether the organisation has this server now, in whatever playbook."""
        owner = self._state.organisations.get(organisation)
        return owner is not None and owner.server(server).definition is not None

    def all(self) -> dict[tuple[str, str], CompiledPlaybook]:
        """Everything that is served now."""
        return self._current

    def compile(self, touched: set[tuple[str, str]], seq: int = 0) -> list[CatalogueChanged]:
        """Compile these again, as the log has them at `seq`; returns what agents should hear of."""
        changed = []
        for organisation, name in sorted(touched):
            self._forget_others(organisation, name)
            before = self._current.pop((organisation, name), None)
            self._combined.pop(organisation, None)
            owner = self._state.organisations[organisation]
            playbook = owner.playbook(name)
            content = owner.pinned(name)
            if content is None or not playbook.served:
                if before is not None:
                    gone = CatalogueChanged(organisation=organisation, playbook=name, version=0, etags={}, seq=seq)
                    changed.append(gone)
                continue
            after = self._compiled(organisation, name, playbook.current, content, owner)
            if playbook.pins or playbook.canary is not None:
                after = after.divided_by(Division(playbook.pins, playbook.canary))
            self._current[(organisation, name)] = after
            if before is None or _is_news(before, after):
                changed.append(announcement(organisation, name, after, seq))
        return changed

    def _forget_others(self, organisation: str, playbook: str) -> None:
        """All but the current version, and what was made of it."""
        for kept in (self._pinned, self._parts):
            for key in [key for key in kept if key[:2] == (organisation, playbook)]:
                del kept[key]


def _is_news(before: CompiledPlaybook, after: CompiledPlaybook) -> bool:
    """Whether any caller may see something else: of those in other versions only they themselves can be asked."""
    divided = before.division is not None or after.division is not None
    return divided or before.etags != after.etags or before.version != after.version


def announcement(organisation: str, playbook: str, compiled: CompiledPlaybook, seq: int) -> CatalogueChanged:
    """What edges are told of a playbook as compiled at `seq`."""
    return CatalogueChanged(
        organisation=organisation,
        playbook=playbook,
        version=compiled.version,
        etags=compiled.etags,
        divided=compiled.division is not None,
        seq=seq,
    )
