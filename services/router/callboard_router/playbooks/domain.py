"""The playbook aggregate: versions are published, rolled back to, and never changed or deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

import msgspec

from callboard.contracts.assignments import EndCanary, PinClient, PromoteCanary, StartCanary, UnpinClient
from callboard.contracts.definitions import PlaybookContent
from callboard.contracts.events import (
    CanaryEnded,
    CanaryPromoted,
    CanaryStarted,
    ClientPinned,
    ClientUnpinned,
    PlaybookDriftApproved,
    PlaybookPublished,
    PlaybookRetired,
    PlaybookRolledBack,
    PlaybookVersionImported,
)
from callboard.contracts.playbooks import ImportPlaybook, RetirePlaybook, RollBackPlaybook
from callboard.contracts.problems import Problem
from callboard.kernel.canary import parse_condition
from callboard.kernel.decider import Decider
from callboard.kernel.diff import changes_between
from callboard.kernel.digest import digest_of_struct
from callboard.kernel.names import is_slug
from callboard.kernel.personal import person_of
from callboard.kernel.playbook_export import digests_of

Event = (
    PlaybookPublished
    | PlaybookRolledBack
    | PlaybookVersionImported
    | PlaybookDriftApproved
    | PlaybookRetired
    | ClientPinned
    | ClientUnpinned
    | CanaryStarted
    | CanaryPromoted
    | CanaryEnded
)


MOST_TOLD = 200
"""So many changes at most stand in a refusal."""


class PublishPlaybook(msgspec.Struct, frozen=True, kw_only=True):
    """The part of an apply that concerns one playbook."""

    playbook: str
    content: PlaybookContent
    comment: str
    republish: bool = False
    """Whether other layers under an equal definition make a version."""


class Playbook(msgspec.Struct, frozen=True, kw_only=True):
    """State: the content of every version, oldest first (version n stands at n - 1); `pins`: client -> version."""

    versions: tuple[PlaybookContent, ...] = ()
    retired: bool = False
    pins: Mapping[str, int] = {}
    canary: CanaryStarted | None = None

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
        tried = () if self.canary is None else (self.canary.version,)
        return {self.current, *self.pins.values(), *tried} if self.served else set()

    def content(self, version: int = 0) -> PlaybookContent | None:
        """The content of a version (0: the current one); None for one that does not exist."""
        number = version or self.current
        return self.versions[number - 1] if 1 <= number <= self.current else None


Command = (
    PublishPlaybook
    | RollBackPlaybook
    | ImportPlaybook
    | RetirePlaybook
    | PinClient
    | UnpinClient
    | StartCanary
    | PromoteCanary
    | EndCanary
)


def decide(command: Command, state: Playbook) -> Sequence[Event]:
    """What happens; raises `Problem` for what cannot be. Equal definitions publish nothing.

    What is tried was to be compared with the version that another one takes the place of: the canary ends with it.
    """
    events = _decide(command, state)
    canary = state.canary
    if canary is None or not any(isinstance(event, _REPLACING) for event in events):
        return events
    ended = CanaryEnded(playbook=canary.playbook, canary=canary.canary, tried=canary.version, reason="superseded")
    return [ended, *events]


_REPLACING = (PlaybookPublished, PlaybookRolledBack, PlaybookRetired)


def _decide(command: Command, state: Playbook) -> Sequence[Event]:
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
        case StartCanary() | PromoteCanary() | EndCanary():
            return _canary(command, state)
        case _:
            assert_never(command)


def _publish(command: PublishPlaybook, state: Playbook) -> Sequence[Event]:
    newest, wanted = state.content(), command.content
    if newest is not None and not state.retired:
        layers = newest.layers if not command.republish else wanted.layers
        if (newest.definition, newest.layers) == (wanted.definition, layers):
            return []
    refuse_silence(command.comment, newest or wanted)
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
    refuse_silence(command.comment, state.content())
    refuse_stale(command.playbook, command.expected, state)
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
    if not is_slug(command.client) and person_of(command.client) is None:
        raise Problem("argument.invalid", f"{command.client!r} is not the name of a client", argument="client")
    _existing(command.playbook, command.version, state)
    if state.pins.get(command.client) == command.version:
        return []
    return [ClientPinned(playbook=command.playbook, client=command.client, version=command.version)]


def _canary(command: StartCanary | PromoteCanary | EndCanary, state: Playbook) -> Sequence[Event]:
    _must_be_served(command.playbook, state)
    _must_say_why(command.comment)
    if isinstance(command, StartCanary):
        return [_started(command, state)]
    canary = state.canary
    if canary is None or command.canary not in ("", canary.canary):
        which = "no canary" if canary is None else "another canary"
        raise Problem("canary.unknown", f"{which} of playbook {command.playbook!r} runs")
    if isinstance(command, EndCanary):
        return [
            CanaryEnded(playbook=command.playbook, canary=canary.canary, tried=canary.version, reason=command.reason)
        ]
    content = _existing(command.playbook, canary.version, state)
    return [
        CanaryPromoted(
            playbook=command.playbook,
            canary=canary.canary,
            version=state.current + 1,
            tried=canary.version,
            content=content,
            content_digest=digest_of_struct(content),
        )
    ]


def _started(command: StartCanary, state: Playbook) -> CanaryStarted:
    if state.canary is not None:
        raise Problem("canary.running", f"version {state.canary.version} of {command.playbook!r} is tried already")
    if not 0 < command.percent <= 100:
        raise Problem("argument.invalid", f"{command.percent:g} % is not over 0 and up to 100", argument="percent")
    if command.min_calls < 1:
        raise Problem("argument.invalid", "nothing can be judged from less than one call", argument="min_calls")
    try:
        parse_condition(command.condition)
    except ValueError as error:
        raise Problem("argument.invalid", str(error), argument="condition") from None
    if _existing(command.playbook, command.version, state) == state.content():
        text = f"version {command.version} is what everybody is served"
        raise Problem("argument.invalid", text, argument="version")
    return CanaryStarted(
        playbook=command.playbook,
        canary=command.command_id,
        version=command.version,
        percent=command.percent,
        until=command.until,
        condition=command.condition,
        min_calls=command.min_calls,
    )


def _existing(playbook: str, version: int, state: Playbook) -> PlaybookContent:
    content = state.content(version) if version > 0 else None
    if content is None:
        raise Problem(
            "playbook.version_unknown",
            f"playbook {playbook!r} has no version {version}; the newest is {state.current}",
            current=state.current,
        )
    return content


def refuse_stale(playbook: str, expected: int | None, state: Playbook) -> None:
    """`playbook.revision_stale`, with what was published since, unless `expected` is the current version."""
    if expected is None or expected == state.current:
        return
    before, now = state.content(expected) if expected else None, state.content()
    changes = changes_between(before, now)[:MOST_TOLD] if now is not None else ()
    raise Problem(
        "playbook.revision_stale",
        f"playbook {playbook!r} is at version {state.current}, not {expected}",
        current=state.current,
        changes=msgspec.to_builtins(changes),
    )


def _must_be_served(playbook: str, state: Playbook) -> None:
    if not state.served:
        raise Problem("playbook.unknown", f"there is no playbook {playbook!r}", playbook=playbook)


def refuse_silence(comment: str, now: PlaybookContent | None) -> None:
    """`comment.required` for a new version without a reason, unless what is current (`now`) waives it."""
    if now is None or now.definition.comments == "required":
        _must_say_why(comment)


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
            | PlaybookDriftApproved(content=content)
        ):
            return msgspec.structs.replace(state, versions=(*state.versions, content), retired=False)
        case CanaryPromoted(content=content):
            return msgspec.structs.replace(state, versions=(*state.versions, content), canary=None)
        case CanaryStarted():
            return msgspec.structs.replace(state, canary=event)
        case CanaryEnded():
            return msgspec.structs.replace(state, canary=None)
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
