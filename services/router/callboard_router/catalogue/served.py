"""The compiled playbooks of all organisations, kept in step with the log; compiled again only what changed."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from math import inf
from weakref import WeakKeyDictionary

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
from callboard_router.policies.policing import PolicyBook
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
MAX_CALLERS = 5_000
"""Callers of the union of one organisation with policies whose view is remembered."""
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
        self._parts: WeakKeyDictionary[CompiledPlaybook, Part] = WeakKeyDictionary()
        self._combined: dict[str, dict[tuple[object, ...], CombinedPlaybooks]] = {}
        self._books: dict[str, PolicyBook] = {}
        self._unions: dict[str, dict[tuple[Part, ...], CombinedPlaybooks]] = {}
        self._next_times = inf

    def like(self, state: RouterState) -> Served:
        """One with the same settings over another state; nothing is compiled yet."""
        return Served(state, self._page_size, self._limits)

    def find(self, organisation: str, playbook: str, head: RpcHead) -> CompiledPlaybook:
        """The playbook to answer with, as policies leave it to the caller.

        `playbook.unknown` or `playbook.version_unknown` when there is none.
        """
        found = self._whole(organisation, playbook, head)
        return found if found.policing is None else found.policing.view(head)

    def _whole(self, organisation: str, playbook: str, head: RpcHead) -> CompiledPlaybook:
        found = self._current.get((organisation, playbook))
        if found is None:
            raise Problem("playbook.unknown", f"there is no playbook {organisation}/{playbook}")
        version = head.version
        if version == 0 and found.division is not None:
            version = found.division.version_for(head)
        if version in (0, found.version):
            return found
        return self._older(organisation, playbook, version)

    def whole(self, organisation: str, playbook: str, version: int = 0) -> CompiledPlaybook:
        """A playbook as nobody is served it where policies hold: for explaining them."""
        return self._whole(organisation, playbook, RpcHead("", "", "", "", "", 0, 0, version=version))

    def select(self, organisation: str, head: RpcHead) -> CombinedPlaybooks:
        """All playbooks that the selection of a request opens, as one, each as its caller has it; perhaps none."""
        found = self._union(organisation, head, {})
        if not found.divided:
            return found
        chosen = ((owner, owner.division.version_for(head)) for owner in found.divided if owner.division is not None)
        others = {owner.name: version for owner, version in chosen if version not in (0, owner.version)}
        return self._union(organisation, head, others) if others else found

    def _union(self, organisation: str, head: RpcHead, others: dict[str, int]) -> CombinedPlaybooks:
        """`others`: playbook -> the version to take in place of the current one."""
        kept = self._combined.setdefault(organisation, {})
        caller: tuple[object, ...] = ()
        if organisation in self._books:
            caller = (head.client, head.principal, head.member, head.oauth_client)
        key = (head.selection, *caller, *others.items())
        found = kept.get(key)
        if found is None or (caller and time.time() >= self._next_times):
            while len(kept) >= (MAX_CALLERS if caller else MAX_SELECTIONS):
                del kept[next(iter(kept))]
            found = kept[key] = self._united(organisation, head, others)
        return found

    def _united(self, organisation: str, head: RpcHead, others: dict[str, int]) -> CombinedPlaybooks:
        """Callers who see the same share a union, also where policies tell them apart."""
        owner = self._state.organisation(organisation)
        served = sorted(name for name in owner.playbooks if (organisation, name) in self._current)
        parts = []
        for name in (name for name in served if selects(head.selection, name)):
            version = others.get(name, 0)
            whole = self._older(organisation, name, version) if version else self._current[(organisation, name)]
            parts.append(self._part(whole if whole.policing is None else whole.policing.view(head)))
        kept, key = self._unions.setdefault(organisation, {}), tuple(parts)
        if key not in kept:
            while len(kept) >= MAX_SELECTIONS:
                del kept[next(iter(kept))]
            kept[key] = CombinedPlaybooks(organisation, parts, self._page_size)
        return kept[key]

    def _part(self, compiled: CompiledPlaybook) -> Part:
        part = self._parts.get(compiled)
        if part is None:
            part = self._parts[compiled] = Part(compiled)
        return part

    def _older(self, organisation: str, playbook: str, version: int) -> CompiledPlaybook:
        key = (organisation, playbook, version)
        if key not in self._pinned:
            owner = self._state.organisation(organisation)
            content = owner.playbook(playbook).content(version)
            if content is None:
                raise Problem("playbook.version_unknown", f"playbook {playbook!r} has no version {version}")
            division = self._current[(organisation, playbook)].division
            self._pinned[key] = self._compiled(organisation, playbook, version, content, owner, division)
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
        self,
        organisation: str,
        playbook: str,
        version: int,
        content: PlaybookContent,
        owner: Organisation,
        division: Division | None = None,
    ) -> CompiledPlaybook:
        deadlines = {
            name: of_server(server.definition)
            for name, server in owner.servers.items()
            if server.definition is not None
        }
        compiled = CompiledPlaybook(
            version,
            content,
            catalogues_of(owner),
            self._page_size,
            deadlines,
            self._limits,
            f"{organisation}/{playbook}",
            owner.definitions,
        )
        divided = compiled if division is None else compiled.divided_by(division)
        return _policed(divided, self._book(organisation, owner))

    def _book(self, organisation: str, owner: Organisation) -> PolicyBook | None:
        """The policies of an organisation, compiled when they were read; None where it has none."""
        if organisation not in self._books and (owner.policies or owner.switched_off):
            self._books[organisation] = PolicyBook(organisation, owner.policies, owner.switched_off)
        return self._books.get(organisation)

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
        for organisation in self._state.newly_policed():
            changed += self._police(organisation, seq, touched)
        for organisation, name in sorted(touched):
            self._forget_others(organisation, name)
            before = self._current.pop((organisation, name), None)
            self._forget_unions(organisation)
            owner = self._state.organisations[organisation]
            playbook = owner.playbook(name)
            content = owner.pinned(name)
            if content is None or not playbook.served:
                if before is not None:
                    gone = CatalogueChanged(organisation=organisation, playbook=name, version=0, etags={}, seq=seq)
                    changed.append(gone)
                continue
            divided = playbook.pins or playbook.canary is not None
            division = Division(playbook.pins, playbook.canary) if divided else None
            after = self._compiled(organisation, name, playbook.current, content, owner, division)
            self._current[(organisation, name)] = after
            if before is None or _is_news(before, after):
                changed.append(announcement(organisation, name, after, seq))
        return changed

    def _police(self, organisation: str, seq: int, touched: set[tuple[str, str]]) -> list[CatalogueChanged]:
        """Nothing is compiled again but what is compiled anyway: policies are asked when somebody asks."""
        self._books.pop(organisation, None)
        book = self._book(organisation, self._state.organisations[organisation])
        self._next_times = 0.0
        self._forget_unions(organisation)
        for older in [key for key in self._pinned if key[0] == organisation]:
            self._pinned[older] = _policed(self._pinned[older], book)
        changed = []
        for key in [key for key in self._current if key[0] == organisation and key not in touched]:
            before = self._current[key]
            after = self._current[key] = _policed(before, book)
            if before.policing is not None or after.policing is not None:
                changed.append(announcement(organisation, key[1], after, seq))
        return changed

    def at_times(self, now: float) -> list[CatalogueChanged]:
        """What agents should hear of because a policy has opened or closed; to be asked every second or so."""
        if now < self._next_times:
            return []
        instant, due = datetime.fromtimestamp(now, UTC), self._next_times > 0
        changes = [at for book in self._books.values() if (at := book.next_change(instant)) is not None]
        self._next_times = min((at.timestamp() for at in changes), default=inf)
        for organisation in [*self._books]:
            self._forget_unions(organisation)
        timed = {organisation for organisation, book in self._books.items() if book.has_times} if due else set()
        return [
            announcement(organisation, name, compiled, 0)
            for (organisation, name), compiled in self._current.items()
            if organisation in timed and compiled.policing is not None
        ]

    def _forget_unions(self, organisation: str) -> None:
        self._combined.pop(organisation, None)
        self._unions.pop(organisation, None)

    def _forget_others(self, organisation: str, playbook: str) -> None:
        """All but the current version."""
        for key in [key for key in self._pinned if key[:2] == (organisation, playbook)]:
            del self._pinned[key]


def _policed(compiled: CompiledPlaybook, book: PolicyBook | None) -> CompiledPlaybook:
    """The same playbook under these policies, and no copy where nothing changes by that."""
    policing = book.policing(compiled) if book is not None else None
    return compiled if policing is compiled.policing else compiled.policed_by(policing)


def _is_news(before: CompiledPlaybook, after: CompiledPlaybook) -> bool:
    """Whether any caller may see something else: of those in other versions only they themselves can be asked."""
    divided = before.is_divided or after.is_divided
    return divided or before.etags != after.etags or before.version != after.version


def announcement(organisation: str, playbook: str, compiled: CompiledPlaybook, seq: int) -> CatalogueChanged:
    """What edges are told of a playbook as compiled at `seq`."""
    return CatalogueChanged(
        organisation=organisation,
        playbook=playbook,
        version=compiled.version,
        etags=compiled.etags,
        divided=compiled.is_divided,
        seq=seq,
    )
