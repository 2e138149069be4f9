"""The server aggregate: registered, reconfigured, discovered, retired."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import msgspec

from callboard.contracts.definitions import Catalogue, ServerDefinition
from callboard.contracts.events import (
    ServerCatalogueDiscovered,
    ServerReconfigured,
    ServerRegistered,
    ServerRetired,
)
from callboard.contracts.playbooks import RecordCatalogue, RetireServer
from callboard.contracts.problems import Problem
from callboard.kernel.decider import Decider

Event = ServerRegistered | ServerReconfigured | ServerRetired | ServerCatalogueDiscovered


class DefineServer(msgspec.Struct, frozen=True, kw_only=True):
    """The part of an apply that concerns one server; `catalogue` is what a probe saw, if it answered."""

    server: str
    definition: ServerDefinition
    catalogue: Catalogue | None = None
    digest: str = ""


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """State: `definition` None means not registered (never, or retired)."""

    definition: ServerDefinition | None = None
    catalogue: Catalogue | None = None
    digest: str = ""


Command = DefineServer | RecordCatalogue | RetireServer


def decide(command: Command, state: Server) -> Sequence[Event]:
    """What happens; raises `Problem` for what cannot be."""
    match command:
        case DefineServer():
            return _define(command, state)
        case RecordCatalogue(server=server, digest=digest, catalogue=catalogue):
            if state.definition is None:
                raise Problem("server.unknown", f"server {server!r} is not registered", server=server)
            if digest == state.digest:
                return []
            return [ServerCatalogueDiscovered(server=server, digest=digest, catalogue=catalogue)]
        case RetireServer(server=server):
            if state.definition is None:
                raise Problem("server.unknown", f"server {server!r} is not registered", server=server)
            return [ServerRetired(server=server)]
        case _:
            assert_never(command)


def _define(command: DefineServer, state: Server) -> Sequence[Event]:
    events: list[Event] = []
    if state.definition is None:
        events.append(ServerRegistered(server=command.server, definition=command.definition))
    elif state.definition != command.definition:
        events.append(ServerReconfigured(server=command.server, definition=command.definition))
    if events and command.catalogue is not None and command.digest != state.digest:
        events.append(
            ServerCatalogueDiscovered(server=command.server, digest=command.digest, catalogue=command.catalogue)
        )
    return events


def evolve(state: Server, event: Event) -> Server:
    """The state after the event."""
    match event:
        case ServerRegistered(definition=definition):
            return Server(definition=definition)
        case ServerReconfigured(definition=definition):
            return msgspec.structs.replace(state, definition=definition)
        case ServerCatalogueDiscovered(catalogue=catalogue, digest=digest):
            return msgspec.structs.replace(state, catalogue=catalogue, digest=digest)
        case ServerRetired():
            return Server()
        case _:
            assert_never(event)


SERVER: Decider[Command, Server, Event] = Decider(Server(), decide, evolve)
