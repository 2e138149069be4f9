"""The playbook aggregate: versions are published, rolled back to, and never changed or deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

import msgspec

from callboard.contracts.assignments import PinClient, UnpinClient
from callboard.contracts.definitions import PlaybookContent
from callboard.contracts.events import (
    ClientPinned,
    ClientUnpinned,
    PlaybookPublished,
    PlaybookRetired,
    PlaybookRolledBack,
    PlaybookVersionImported,
)
from callboard.contracts.playbooks import ImportPlaybook, RetirePlaybook, RollBackPlaybook
from callboard.contracts.problems import Problem
from callboard.kernel.decider import Decider
from callboard.kernel.digest import digest_of_struct
from callboard.kernel.names import is_slug
from callboard.kernel.playbook_export import digests_of

Event = (
    PlaybookPublished | PlaybookRolledBack | PlaybookVersionImported | PlaybookRetired | ClientPinned | ClientUnpinned
)


class PublishPlaybook(msgspec.Struct, frozen=True, kw_only=True):
    """The part of an apply that concerns one playbook."""

    playbook: str
    content: PlaybookContent
    comment: str


class Playbook(msgspec.Struct, frozen=True, kw_only=True):
    """State: the content of every version, oldest first (version n stands at n - 1); `pins`: client -> version."""

    versions: tuple[PlaybookContent, ...] = ()
    retired: bool = False
    pins: Mapping[str, int] = {}

    @property
    def current(self) -> int:
        """The newest version; 0 before the first."""
        return len(self.versions)

    @property
    def served(self) -> bool:
        """Whether agents can connect."""
        return bool(self.versions) and not self.retired

    @property
    def in_use(self) -> set[int]:
        """The versions that some caller is served without naming one."""
        return {self.current, *self.pins.values()} if self.served else set()

    def content(self, version: int = 0) -> PlaybookContent | None:
        """The content of a version (0: the current one); None for one that does not exist."""
        number = version or self.current
        return self.versions[number - 1] if 1 <= number <= self.current else None


Command = PublishPlaybook | RollBackPlaybook | ImportPlaybook | RetirePlaybook | PinClient | UnpinClient


def decide(command: Command, state: Playbook) -> Sequence[Event]:
    """What happens; raises `Problem` for what cannot be. Equal definitions publish nothing."""
    match command:
        case PublishPlaybook():
            return _publish(command, state)
        case RollBackPlaybook():
            return _roll_back(command, state)
        case ImportPlaybook():
            return _import(command, state)
        case RetirePlaybook(playbook=playbook):
            _must_be_served(playbook, state)
            _must_say_why(command.comment)
            return [PlaybookRetired(playbook=playbook)]
        case PinClient():
            return _pin(command, state)
        case UnpinClient(playbook=playbook, client=client):
            _must_be_served(playbook, state)
            _must_say_why(command.comment)
            return [ClientUnpinned(playbook=playbook, client=client)] if client in state.pins else []
        case _:
            assert_never(command)


def _publish(command: PublishPlaybook, state: Playbook) -> Sequence[Event]:
    newest = state.content()
    if newest is not None and newest.definition == command.content.definition and not state.retired:
        return []
    _must_say_why(command.comment)
    return [
        PlaybookPublished(
            playbook=command.playbook,
            version=state.current + 1,
            content=command.content,
            content_digest=digest_of_struct(command.content),
        )
    ]


def _roll_back(command: RollBackPlaybook, state: Playbook) -> Sequence[Event]:
    _must_be_served(command.playbook, state)
    _must_say_why(command.comment)
    if command.expected is not None and command.expected != state.current:
        raise Problem(
            "playbook.revision_stale",
            f"playbook {command.playbook!r} is at version {state.current}, not {command.expected}",
            current=state.current,
        )
    content = _existing(command.playbook, command.to, state)
    if content == state.content():
        return []
    return [
        PlaybookRolledBack(
            playbook=command.playbook,
            version=state.current + 1,
            to_version=command.to,
            content=content,
            content_digest=digest_of_struct(content),
        )
    ]


def _import(command: ImportPlaybook, state: Playbook) -> Sequence[Event]:
    if state.versions:
        raise Problem("playbook.exists", f"there is or was a playbook {command.playbook!r}; import under another name")
    _must_say_why(command.comment)
    known: set[str] = set()
    events = []
    for version in command.exported.versions:
        fresh = digests_of(version.content) - known
        known |= fresh
        events.append(
            PlaybookVersionImported(
                playbook=command.playbook,
                version=version.version,
                content=version.content,
                content_digest=version.content_digest,
                origin=f"{command.exported.organisation}/{command.exported.playbook}",
                reason=version.reason,
                actor=version.actor,
                comment=version.comment,
                made_at=version.made_at,
                rolled_back_to=version.rolled_back_to,
                definitions={digest: raw for digest, raw in command.exported.definitions.items() if digest in fresh},
            )
        )
    return events


def _pin(command: PinClient, state: Playbook) -> Sequence[Event]:
    _must_be_served(command.playbook, state)
    _must_say_why(command.comment)
    if not is_slug(command.client):
        raise Problem("argument.invalid", f"{command.client!r} is not the name of a client", argument="client")
    _existing(command.playbook, command.version, state)
    if state.pins.get(command.client) == command.version:
        return []
    return [ClientPinned(playbook=command.playbook, client=command.client, version=command.version)]


def _existing(playbook: str, version: int, state: Playbook) -> PlaybookContent:
    content = state.content(version) if version > 0 else None
    if content is None:
        raise Problem(
            "playbook.version_unknown",
            f"playbook {playbook!r} has no version {version}; the newest is {state.current}",
            current=state.current,
        )
    return content


def _must_be_served(playbook: str, state: Playbook) -> None:
    if not state.served:
        raise Problem("playbook.unknown", f"there is no playbook {playbook!r}", playbook=playbook)


def _must_say_why(comment: str) -> None:
    if not comment.strip():
        raise Problem("comment.required", "every change of a playbook says why")


def evolve(state: Playbook, event: Event) -> Playbook:
    """The state after the event."""
    match event:
        case (
            PlaybookPublished(content=content)
            | PlaybookRolledBack(content=content)
            | PlaybookVersionImported(content=content)
        ):
            return msgspec.structs.replace(state, versions=(*state.versions, content), retired=False)
        case PlaybookRetired():
            return Playbook(versions=state.versions, retired=True)
        case ClientPinned(client=client, version=version):
            return msgspec.structs.replace(state, pins={**state.pins, client: version})
        case ClientUnpinned(client=client):
            left = {name: version for name, version in state.pins.items() if name != client}
            return msgspec.structs.replace(state, pins=left)
        case _:
            assert_never(event)


PLAYBOOK: Decider[Command, Playbook, Event] = Decider(Playbook(), decide, evolve)
