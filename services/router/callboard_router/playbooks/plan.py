"""What applying a file would do: pure, so that a dry run and the real thing cannot differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from callboard.contracts.definitions import Catalogue, PlaybookContent, PlaybookDefinition, ServerDefinition
from callboard.contracts.events import CanaryEnded, Event
from callboard.contracts.playbooks import ApplyOrganisation, Change, PlannedChange, RetirePlaybook, RetireServer
from callboard.contracts.problems import Problem
from callboard.contracts.upstreams import Probed
from callboard.kernel.definition_rules import all_faults
from callboard.kernel.diff import Definitions, changes_between
from callboard.kernel.overrides import misfits
from callboard_router.catalogue.domain import Exposure, content_of, expose
from callboard_router.catalogue.schema import value_faults
from callboard_router.catalogue.served import catalogues_of
from callboard_router.layers.under import layers_under, outdated_notes
from callboard_router.playbooks.decide_drift import refuse_other_policy
from callboard_router.playbooks.domain import PLAYBOOK, PublishPlaybook, refuse_silence
from callboard_router.playbooks.drifted import Drifted
from callboard_router.servers.domain import SERVER, DefineServer
from callboard_router.state import Organisation


class Plan(msgspec.Struct, frozen=True):
    """Lines for people, and the events per stream that make them true."""

    lines: tuple[PlannedChange, ...]
    writes: dict[str, tuple[Event, ...]]

    @property
    def publishes(self) -> list[str]:
        """The playbooks that get another version."""
        return [line.subject.partition(" ")[2] for line in self.lines if line.action == "publish"]

    @property
    def needs_comment(self) -> bool:
        """Whether more changes than playbooks which may waive the comment; of those the decider knows."""
        return any(line.action in ("register", "reconfigure", "retire") for line in self.lines)


def refuse_faults(command: ApplyOrganisation, organisation: Organisation) -> None:
    """Raise `file.invalid` with every fault (path and message), if there is one."""
    faults = all_faults(command.servers, command.playbooks, organisation.registered())
    if faults:
        listed = [{"path": list(fault.path), "message": fault.message} for fault in faults]
        raise Problem("file.invalid", faults[0].message, faults=listed)


def to_probe(command: ApplyOrganisation, organisation: Organisation) -> dict[str, ServerDefinition]:
    """Servers whose catalogue is not known: new ones, changed ones, and ones that never answered."""
    return {
        name: definition
        for name, definition in command.servers.items()
        if organisation.server(name).definition != definition or organisation.server(name).catalogue is None
    }


def plan(command: ApplyOrganisation, organisation: Organisation, probes: Mapping[str, Probed]) -> Plan:
    """The plan against this state; raises `Problem` when a part of it cannot be."""
    lines: list[PlannedChange] = []
    writes: dict[str, tuple[Event, ...]] = {}
    catalogues = catalogues_of(organisation)
    definitions = organisation.definitions | definitions_of(catalogues.values())
    for name, definition in command.servers.items():
        line, events, catalogue = _server(name, definition, organisation, probes.get(name))
        lines.append(line)
        if catalogue is not None:
            catalogues[name] = catalogue
            definitions |= definitions_of([catalogue])
        if events:
            writes[f"server-{name}"] = events
    for name, wanted in command.playbooks.items():
        line, events = plan_playbook(command, name, wanted, organisation, catalogues, definitions)
        lines.append(line)
        if events:
            writes[f"playbook-{name}"] = events
    _absent(command, organisation, lines, writes)
    return Plan(tuple(lines), writes)


def _server(
    name: str, definition: ServerDefinition, organisation: Organisation, probe: Probed | None
) -> tuple[PlannedChange, tuple[Event, ...], Catalogue | None]:
    state = organisation.server(name)
    seen = probe.catalogue if probe is not None else None
    digest = probe.digest if probe is not None else ""
    events = tuple(
        SERVER.decide(DefineServer(server=name, definition=definition, catalogue=seen, digest=digest), state)
    )
    action = "unchanged" if not events else "register" if state.definition is None else "reconfigure"
    notes = []
    if events and probe is not None and probe.problem:
        notes.append(f"not reached yet: {probe.problem}")
    changes: tuple[Change, ...] = ()
    if action == "reconfigure" and state.definition is not None:
        before, after = msgspec.to_builtins(state.definition), msgspec.to_builtins(definition)
        changes = tuple(
            Change(kind="changed", path=key, before=before.get(key), after=after.get(key))
            for key in sorted(before.keys() | after.keys())
            if before.get(key) != after.get(key)
        )
    line = PlannedChange(subject=f"server {name}", action=action, changes=changes, notes=tuple(notes))  # type: ignore[arg-type]  # one of the literals above
    return line, events, seen if events else None


def plan_playbook(
    command: ApplyOrganisation,
    name: str,
    wanted: PlaybookDefinition,
    organisation: Organisation,
    catalogues: Mapping[str, Catalogue],
    definitions: Definitions,
    *,
    republish: bool = False,
) -> tuple[PlannedChange, tuple[Event, ...]]:
    """The line and the events of one playbook; `wanted` has no faults. `republish`: also for other layers only."""
    state = organisation.playbook(name)
    layers = layers_under(wanted, organisation)
    exposure = expose(wanted, catalogues, layers=layers)
    content = content_of(wanted, exposure, layers)
    comment = command.comment if not command.dry_run else command.comment or "dry run"
    refuse_other_policy(name, state.content(), wanted, command.actor)
    drift = Drifted(organisation, name, catalogues)
    if not command.accept_drift:
        content = drift.approved_only(content, exposure)
    publish = PublishPlaybook(playbook=name, content=content, comment=comment, republish=republish)
    events: tuple[Event, ...] = tuple(PLAYBOOK.decide(publish, state))
    if command.accept_drift and drift.held:
        drift.refuse_other_approver(command.actor)
        if not events:
            refuse_silence(comment, state.content())
            approval = drift.approval()
            events, content = (approval,), approval.content
    notes = drift.notes(content, exposure)
    if not events:
        notes = (*notes, *outdated_notes(state.content(), organisation))
        return PlannedChange(subject=f"playbook {name}", action="unchanged", version=state.current, notes=notes), ()
    _refuse_collisions(name, exposure)
    _refuse_misfits(name, exposure, content, definitions)
    line = PlannedChange(
        subject=f"playbook {name}",
        action="publish",
        version=state.current + 1,
        changes=changes_between(state.content(), content, definitions),
        notes=(*_unseen(wanted, catalogues), *notes, *ending_notes(events)),
    )
    return line, events


def definitions_of(catalogues: Iterable[Catalogue]) -> dict[str, bytes]:
    """Digest -> definition, of what servers say now; the older ones of a version are told by digest."""
    return {
        item.digest: bytes(item.raw)
        for catalogue in catalogues
        for items in (catalogue.tools, catalogue.prompts, catalogue.resources)
        for item in items
    }


def ending_notes(events: Iterable[Event]) -> list[str]:
    """What else ends when these events happen."""
    return [
        f"the canary of version {event.tried} ends: what it is compared with is no longer current"
        for event in events
        if isinstance(event, CanaryEnded)
    ]


def _unseen(definition: PlaybookDefinition, catalogues: Mapping[str, Catalogue]) -> list[str]:
    return [
        f"server {name} has not been reached yet; what it offers appears when it is"
        for name in definition.servers
        if name not in catalogues
    ]


def _refuse_collisions(playbook: str, exposure: Exposure) -> None:
    if exposure.collisions:
        listed = [str(collision) for collision in exposure.collisions]
        first = exposure.collisions[0]
        path = ["playbooks", playbook, "servers", first.second.server]
        faults = [{"path": path, "message": text} for text in listed]
        raise Problem("playbook.collision", f"playbook {playbook!r}: {listed[0]}", faults=faults)


def _refuse_misfits(playbook: str, exposure: Exposure, content: PlaybookContent, definitions: Definitions) -> None:
    """An override fits the definition that the version pins. One that fits only what its server says now, which is
    held, waits with it."""
    for name, entry in exposure.tools.items():
        if entry.override is None or name not in content.tools:
            continue
        now, pinned = bytes(entry.item.raw), definitions.get(content.tools[name].digest)
        found = misfits(entry.override, now, value_faults)
        if found and (pinned is None or pinned == now or misfits(entry.override, pinned, value_faults)):
            path = ["playbooks", playbook, "servers", entry.server, "tools", "override", entry.item.name]
            faults = [{"path": path, "message": f"tool {entry.item.name!r}: {text}"} for text in found]
            raise Problem("file.invalid", f"playbook {playbook!r}: tool {entry.item.name!r}: {found[0]}", faults=faults)


def _absent(
    command: ApplyOrganisation,
    organisation: Organisation,
    lines: list[PlannedChange],
    writes: dict[str, tuple[Event, ...]],
) -> None:
    gone = [name for name, book in organisation.playbooks.items() if book.served and name not in command.playbooks]
    for name in sorted(gone):
        if not command.prune:
            lines.append(PlannedChange(subject=f"playbook {name}", action="left_alone"))
            continue
        retire = RetirePlaybook(
            command_id="", organisation=command.organisation, playbook=name, comment=command.comment or "prune"
        )
        writes[f"playbook-{name}"] = tuple(PLAYBOOK.decide(retire, organisation.playbook(name)))
        lines.append(PlannedChange(subject=f"playbook {name}", action="retire"))
    for name in sorted(set(organisation.registered()) - set(command.servers)):
        users = _users_afterwards(name, command, organisation, gone if command.prune else [])
        if not command.prune or users:
            lines.append(PlannedChange(subject=f"server {name}", action="left_alone"))
            continue
        retire_server = RetireServer(command_id="", organisation=command.organisation, server=name, comment="prune")
        writes[f"server-{name}"] = tuple(SERVER.decide(retire_server, organisation.server(name)))
        lines.append(PlannedChange(subject=f"server {name}", action="retire"))


def _users_afterwards(
    server: str, command: ApplyOrganisation, organisation: Organisation, retired: list[str]
) -> set[str]:
    """Playbooks that use a server once the command took effect."""
    kept = set(organisation.users_of(server, command.playbooks)) - set(retired)
    return kept | {name for name, wanted in command.playbooks.items() if server in wanted.servers}
