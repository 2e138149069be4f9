"""What the router knows, folded from the log: servers and playbooks of every organisation, in memory."""

from __future__ import annotations

from collections.abc import Collection

from callboard.contracts.events import (
    CanaryEnded,
    CanaryPromoted,
    CanaryStarted,
    ClientPinned,
    ClientUnpinned,
    OrganisationCreated,
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
from callboard.contracts.problems import Problem
from callboard_router.playbooks.domain import PLAYBOOK, Playbook
from callboard_router.servers.domain import SERVER, Server


class Organisation:
    """One organisation; `streams` holds the version each stream is at, for expected versions."""

    def __init__(self) -> None:
        self.created = False
        self.servers: dict[str, Server] = {}
        self.playbooks: dict[str, Playbook] = {}
        self.streams: dict[str, int] = {}

    def server(self, name: str) -> Server:
        """The state of a server, also of one that never was."""
        return self.servers.get(name, SERVER.initial)

    def playbook(self, name: str) -> Playbook:
        """The state of a playbook, also of one that never was."""
        return self.playbooks.get(name, PLAYBOOK.initial)

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
        match recorded.event:
            case OrganisationCreated():
                self.created = True
                return set()
            case ServerRegistered() | ServerReconfigured() | ServerRetired() | ServerCatalogueDiscovered() as event:
                self.servers[event.server] = SERVER.evolve(self.server(event.server), event)
                return set(self.users_of(event.server))
            case (
                PlaybookPublished()
                | PlaybookRolledBack()
                | PlaybookVersionImported()
                | PlaybookRetired()
                | ClientPinned()
                | ClientUnpinned()
                | CanaryStarted()
                | CanaryPromoted()
                | CanaryEnded()
            ) as change:
                self.playbooks[change.playbook] = PLAYBOOK.evolve(self.playbook(change.playbook), change)
                return {change.playbook}
            case _:
                return set()


class RouterState:
    """All organisations."""

    def __init__(self) -> None:
        self.organisations: dict[str, Organisation] = {}

    def apply(self, batch: list[Recorded]) -> set[tuple[str, str]]:
        """Fold a batch; returns (organisation, playbook) pairs to compile again."""
        touched: set[tuple[str, str]] = set()
        for recorded in batch:
            organisation = self.organisations.setdefault(recorded.organisation, Organisation())
            touched |= {(recorded.organisation, name) for name in organisation.apply(recorded)}
        return touched

    def organisation(self, name: str) -> Organisation:
        """One that was created; `organisation.unknown` otherwise."""
        found = self.organisations.get(name)
        if found is None or not found.created:
            raise Problem("organisation.unknown", f"there is no organisation {name!r}", organisation=name)
        return found
