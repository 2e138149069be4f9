"""What the router knows, folded from the log: servers and playbooks of every organisation, in memory."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable

from callboard.contracts.definitions import Exposed, PlaybookContent
from callboard.contracts.events import (
    CanaryEnded,
    CanaryPromoted,
    CanaryStarted,
    ClientPinned,
    ClientUnpinned,
    DraftDiscarded,
    DraftEdited,
    DraftPublished,
    Event,
    LayerPublished,
    OrganisationCreated,
    PlaybookDriftApproved,
    PlaybookDrifted,
    PlaybookDriftRejected,
    PlaybookPublished,
    PlaybookRetired,
    PlaybookRolledBack,
    PlaybookVersionImported,
    Recorded,
    ServerCatalogueDiscovered,
    ServerReconfigured,
    ServerRegistered,
    ServerRetired,
)
from callboard.contracts.layers import SYSTEM
from callboard.contracts.people_events import OrganisationPlanChosen
from callboard.contracts.plans import Quotas
from callboard.contracts.policy_definitions import PolicyDefinition
from callboard.contracts.policy_events import PolicyRemoved, PolicySet, ServerSwitched
from callboard.contracts.problems import Problem
from callboard_router.drafts import domain as drafts
from callboard_router.drafts.domain import NO_DRAFT, DraftState
from callboard_router.layers.domain import LAYER, LayerState, stream_of
from callboard_router.playbooks import drift_state
from callboard_router.playbooks.domain import PLAYBOOK, Playbook
from callboard_router.playbooks.drift_state import DriftState
from callboard_router.servers.domain import SERVER, Server


class Organisation:
    """One organisation; `streams` holds the version each stream is at, for expected versions.

    `definitions`: digest -> definition, of the tools and prompts that any version pins. `system` holds the layer of
    the installation.
    """

    def __init__(self, system: Organisation | None = None) -> None:
        self.created = False
        self.system: Organisation = system or self
        self.plan = ""
        self.quotas = Quotas()
        self.servers: dict[str, Server] = {}
        self.playbooks: dict[str, Playbook] = {}
        self.streams: dict[str, int] = {}
        self.definitions: dict[str, bytes] = {}
        self.drafts: dict[str, DraftState] = {}
        self.policies: dict[str, PolicyDefinition] = {}
        self.switched_off: frozenset[str] = frozenset()
        self._layers: dict[str, LayerState] = {}
        self._drifts: dict[str, DriftState] = {}

    def copy(self) -> Organisation:
        """The same state, to fold into what has not happened yet."""
        other = copy.copy(self)
        other.servers, other.playbooks = dict(self.servers), dict(self.playbooks)
        other.drafts, other._layers = dict(self.drafts), dict(self._layers)
        other.policies = dict(self.policies)
        other.system = other if self.system is self else self.system
        other.definitions, other._drifts = dict(self.definitions), dict(self._drifts)
        return other

    def with_events(self, events: Iterable[Event]) -> Organisation:
        """The state that these would make; this one stays as it is."""
        after = self.copy()
        for event in events:
            after.fold(event)
        return after

    def standing_on(self, system: Organisation) -> Organisation:
        """The same state over another layer of the installation."""
        other = copy.copy(self)
        other.system = system
        return other

    def layer(self, scope: str, project: str = "") -> LayerState:
        """The state of a layer, also of one that never was."""
        return self._layers.get(stream_of(scope, project), LAYER.initial)

    @property
    def projects(self) -> list[str]:
        """The projects that have a layer."""
        prefix = stream_of("project", "")
        return sorted(stream.removeprefix(prefix) for stream in self._layers if stream.startswith(prefix))

    def server(self, name: str) -> Server:
        """The state of a server, also of one that never was."""
        return self.servers.get(name, SERVER.initial)

    def playbook(self, name: str) -> Playbook:
        """The state of a playbook, also of one that never was."""
        return self.playbooks.get(name, PLAYBOOK.initial)

    def draft(self, name: str) -> DraftState:
        """The draft of a playbook, also when there is none."""
        return self.drafts.get(name, NO_DRAFT)

    def drift(self, name: str) -> DriftState:
        """What the log says of the drift of a playbook."""
        return self._drifts.get(name, NO_DRIFT)

    def pinned(self, name: str) -> PlaybookContent | None:
        """The current version of a playbook with what was accepted since; None before the first."""
        content = self.playbook(name).content()
        return self.drift(name).baseline(content) if content is not None else None

    def registered(self) -> list[str]:
        """Names of the servers that are registered now."""
        return [name for name, server in self.servers.items() if server.definition is not None]

    def users_of(self, server: str, replaced: Collection[str] = ()) -> list[str]:
        """Playbooks that use the server in a version which somebody is served: current, pinned or tried.

        `replaced`: playbooks whose current version does not count.
        """
        return [
            name
            for name, playbook in self.playbooks.items()
            if any(
                server in playbook.versions[number - 1].definition.servers
                for number in (playbook.pins.values() if name in replaced else playbook.in_use)
            )
        ]

    def apply(self, recorded: Recorded) -> set[str]:
        """Fold one event; returns the playbooks whose exposure may be another one now."""
        self.streams[recorded.stream] = recorded.version
        return self.fold(recorded.event)

    def fold(self, event: Event) -> set[str]:
        """The state after the event; returns what `apply` returns."""
        match event:
            case OrganisationCreated():
                self.created = True
                return set()
            case OrganisationPlanChosen() as chosen:
                self.plan = chosen.plan
                self.quotas = Quotas(
                    playbooks=chosen.playbooks, servers=chosen.servers, calls_per_day=chosen.calls_per_day
                )
                return set()
            case ServerRegistered() | ServerReconfigured() | ServerRetired() | ServerCatalogueDiscovered() as told:
                self.servers[told.server] = SERVER.evolve(self.server(told.server), told)
                return set(self.users_of(told.server))
            case PlaybookDrifted() | PlaybookDriftRejected() as drifted:
                self._drifts[drifted.playbook] = drift_state.evolve(self.drift(drifted.playbook), drifted)
                self._remember(self.drift(drifted.playbook).later.values())
                return {drifted.playbook}
            case (
                PlaybookPublished()
                | PlaybookRolledBack()
                | PlaybookVersionImported()
                | PlaybookDriftApproved()
                | CanaryPromoted()
            ) as version:
                self._drifts[version.playbook] = drift_state.evolve(self.drift(version.playbook), version)
                self.playbooks[version.playbook] = PLAYBOOK.evolve(self.playbook(version.playbook), version)
                if isinstance(version, PlaybookVersionImported):
                    self.definitions |= {digest: text.encode() for digest, text in version.definitions.items()}
                self._remember([*version.content.tools.values(), *version.content.prompts.values()])
                return {version.playbook}
            case LayerPublished() as published:
                stream = stream_of(published.scope, published.project)
                self._layers[stream] = LAYER.evolve(self.layer(published.scope, published.project), published)
                return set()
            case DraftEdited() | DraftDiscarded() | DraftPublished() as draft:
                self.drafts[draft.playbook] = drafts.evolve(self.draft(draft.playbook), draft)
                return set()
            case PolicySet() | PolicyRemoved() | ServerSwitched() as rule:
                self._fold_policy(rule)
                return set()
            case PlaybookRetired() | ClientPinned() | ClientUnpinned() | CanaryStarted() | CanaryEnded() as change:
                self.playbooks[change.playbook] = PLAYBOOK.evolve(self.playbook(change.playbook), change)
                return {change.playbook}
            case _:
                return set()

    def _fold_policy(self, event: PolicySet | PolicyRemoved | ServerSwitched) -> None:
        match event:
            case PolicySet():
                self.policies[event.policy] = event.definition
            case PolicyRemoved():
                self.policies.pop(event.policy, None)
            case ServerSwitched():
                self.switched_off = (
                    self.switched_off - {event.server} if event.on else self.switched_off | {event.server}
                )

    def _remember(self, pinned: Iterable[Exposed]) -> None:
        """Keep the definitions of what was pinned just now: servers may say something else tomorrow."""
        missing = {item.digest: item.server for item in pinned if item.digest not in self.definitions}
        for server in set(missing.values()):
            catalogue = self.server(server).catalogue
            for item in (*catalogue.tools, *catalogue.prompts) if catalogue is not None else ():
                if item.digest in missing:
                    self.definitions[item.digest] = bytes(item.raw)


NO_DRIFT = DriftState()


class RouterState:
    """All organisations, and under `SYSTEM` what belongs to the installation itself."""

    def __init__(self) -> None:
        system = Organisation()
        system.created = True
        self.organisations: dict[str, Organisation] = {SYSTEM: system}
        self._policed: set[str] = set()

    def apply(self, batch: list[Recorded]) -> set[tuple[str, str]]:
        """Fold a batch; returns (organisation, playbook) pairs to compile again."""
        touched: set[tuple[str, str]] = set()
        for recorded in batch:
            organisation = self.organisations.get(recorded.organisation)
            if organisation is None:
                organisation = self.organisations[recorded.organisation] = Organisation(self.organisations[SYSTEM])
            touched |= {(recorded.organisation, name) for name in organisation.apply(recorded)}
            if isinstance(recorded.event, PolicySet | PolicyRemoved | ServerSwitched):
                self._policed.add(recorded.organisation)
        return touched

    def newly_policed(self) -> set[str]:
        """The organisations whose policies or switches are others than when this was asked last."""
        found, self._policed = self._policed, set()
        return found

    def organisation(self, name: str) -> Organisation:
        """One that was created; `organisation.unknown` otherwise."""
        found = self.organisations.get(name)
        if found is None or not found.created:
            raise Problem("organisation.unknown", f"there is no organisation {name!r}", organisation=name)
        return found
