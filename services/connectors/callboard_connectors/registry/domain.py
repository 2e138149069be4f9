"""The fold of the log that says which servers there are; pure.

Registry  (organisation, server) > Wanted: definition, last catalogue digest, header parameters of its tools
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from callboard.contracts.definitions import Catalogue, SecretRef, ServerDefinition
from callboard.contracts.events import (
    Recorded,
    ServerCatalogueDiscovered,
    ServerReconfigured,
    ServerRegistered,
    ServerRetired,
)
from callboard.contracts.people_events import MemberRemoved
from callboard.contracts.vault_events import SecretStored, UpstreamSignedIn, UpstreamSignedOut
from callboard.kernel.param_headers import HeaderMap, header_maps


class ServerKey(NamedTuple):
    """A server of an organisation."""

    organisation: str
    server: str

    def __str__(self) -> str:
        return f"{self.organisation}.{self.server}"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A server that is registered. A change of `definition` or `revision` means: connect anew."""

    definition: ServerDefinition
    revision: int
    catalogue_digest: str = ""
    header_maps: dict[str, HeaderMap] = {}


Registry = dict[ServerKey, Wanted]


def secrets_of(definition: ServerDefinition) -> tuple[str, ...]:
    """The names of the secrets that a definition refers to."""
    values = (*definition.headers.values(), *definition.env.values())
    return tuple(sorted({value.secret for value in values if isinstance(value, SecretRef)}))


def evolve(registry: Registry, recorded: Recorded) -> Registry:
    """The registry after one event of the log; events of other aggregates leave it as it is."""
    organisation, event = recorded.organisation, recorded.event
    match event:
        case ServerRegistered() | ServerReconfigured():
            key = ServerKey(organisation, event.server)
            return {**registry, key: _defined(registry.get(key), event.definition, recorded.seq)}
        case ServerRetired():
            return {key: wanted for key, wanted in registry.items() if key != (organisation, event.server)}
        case ServerCatalogueDiscovered():
            return _discovered(registry, ServerKey(organisation, event.server), event.digest, event.catalogue)
        case SecretStored():
            return _secret_stored(registry, organisation, event.secret, recorded.seq)
        case UpstreamSignedIn(subject="") | UpstreamSignedOut(subject=""):
            return _signed_in(registry, ServerKey(organisation, event.server), recorded.seq)
        case _:
            return registry


def departed(recorded: Recorded) -> tuple[str, str, str] | None:
    """Whose own sessions end here: organisation, client, and the server (empty: all of them); None: nobody's."""
    match recorded.event:
        case MemberRemoved():
            return recorded.organisation, recorded.event.member, ""
        case UpstreamSignedOut() if recorded.event.subject:
            return recorded.organisation, recorded.event.subject, recorded.event.server
        case _:
            return None


def _defined(before: Wanted | None, definition: ServerDefinition, seq: int) -> Wanted:
    if before is None:
        return Wanted(definition=definition, revision=seq)
    return msgspec.structs.replace(before, definition=definition, revision=seq)


def _discovered(registry: Registry, key: ServerKey, digest: str, catalogue: Catalogue) -> Registry:
    wanted = registry.get(key)
    if wanted is None:
        return registry
    maps = header_maps(catalogue.tools)
    return {**registry, key: msgspec.structs.replace(wanted, catalogue_digest=digest, header_maps=maps)}


def _secret_stored(registry: Registry, organisation: str, secret: str, seq: int) -> Registry:
    def uses(key: ServerKey, wanted: Wanted) -> bool:
        return key.organisation == organisation and secret in secrets_of(wanted.definition)

    return {
        key: msgspec.structs.replace(wanted, revision=seq) if uses(key, wanted) else wanted
        for key, wanted in registry.items()
    }


def _signed_in(registry: Registry, key: ServerKey, seq: int) -> Registry:
    """Everybody's sign-in is another one: connect anew."""
    wanted = registry.get(key)
    return registry if wanted is None else {**registry, key: msgspec.structs.replace(wanted, revision=seq)}


class Changes(NamedTuple):
    """What to do so that the running upstreams are the wanted ones."""

    start: list[ServerKey]
    replace: list[ServerKey]
    stop: list[ServerKey]


def changes(running: Registry, wanted: Registry) -> Changes:
    """Compare what runs with what is wanted."""
    return Changes(
        start=[key for key in wanted if key not in running],
        replace=[key for key in wanted if key in running and running[key].revision != wanted[key].revision],
        stop=[key for key in running if key not in wanted],
    )
