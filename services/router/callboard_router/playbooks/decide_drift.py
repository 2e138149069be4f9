"""`cb.cmd.playbook.approve_drift` and `…reject_drift`: what becomes of what is held back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

import msgspec

from callboard.contracts.definitions import Exposed, PlaybookContent, PlaybookDefinition
from callboard.contracts.drift import ApproveDrift, Drift, DriftChoice, DriftDecided, RejectDrift
from callboard.contracts.events import Event, PlaybookDriftApproved, PlaybookDriftRejected
from callboard.contracts.problems import Problem
from callboard.kernel.digest import digest_of_struct
from callboard.kernel.overrides import misfits, override_of
from callboard.kernel.personal import person_of
from callboard_router.catalogue.schema import value_faults
from callboard_router.decisions import Decisions, Writes
from callboard_router.playbooks.drift_found import held_in
from callboard_router.state import Organisation


async def approve(command: ApproveDrift, decisions: Decisions) -> DriftDecided:
    """Publish the next version, which pins these as they are now."""
    return await _decide(command, decisions, approval)


async def reject(command: RejectDrift, decisions: Decisions) -> DriftDecided:
    """Leave them hidden; what was rejected already stays so."""
    return await _decide(command, decisions, rejection)


async def _decide(
    command: ApproveDrift | RejectDrift,
    decisions: Decisions,
    decided: Callable[..., PlaybookDriftApproved | PlaybookDriftRejected],
) -> DriftDecided:
    before = await decisions.seen(command.organisation, command.command_id, command)
    if before is not None:
        return _answer(command, [recorded.event for recorded in before], before[-1].seq if before else 0, 0)
    events: Sequence[Event] = ()

    def decide(organisation: Organisation) -> Writes:
        nonlocal events
        pinned, held = organisation.pinned(command.playbook), held_in(organisation, command.playbook)
        if pinned is None or not organisation.playbook(command.playbook).served:
            raise Problem("playbook.unknown", f"there is no playbook {command.playbook!r}", playbook=command.playbook)
        if not command.comment.strip():
            raise Problem("comment.required", "every change of a playbook says why")
        refuse_other_approver(command.playbook, pinned.definition, command.actor)
        drifts = chosen(command.things, held.values())
        if isinstance(command, ApproveDrift):
            refuse_misfits(pinned.definition, drifts)
        events = (decided(command.playbook, organisation.playbook(command.playbook).current, pinned, drifts),)
        return {f"playbook-{command.playbook}": events}

    seq = await decisions.commit(
        command.organisation, command.command_id, command, command.actor, command.comment, decide
    )
    current = (await decisions.current(command.organisation)).playbook(command.playbook).current
    return _answer(command, events, seq, current)


def approval(playbook: str, current: int, pinned: PlaybookContent, drifts: Iterable[Drift]) -> PlaybookDriftApproved:
    """The version after `current`, which pins these as they are now."""
    maps = {"tool": dict(pinned.tools), "prompt": dict(pinned.prompts)}
    for drift in drifts:
        if drift.change == "removed":
            del maps[drift.kind][drift.name]
        else:
            maps[drift.kind][drift.name] = Exposed(server=drift.server, name=drift.item, digest=drift.after)
    content = msgspec.structs.replace(pinned, tools=maps["tool"], prompts=maps["prompt"])
    return PlaybookDriftApproved(
        playbook=playbook,
        version=current + 1,
        content=content,
        content_digest=digest_of_struct(content),
        approved=tuple(drift.brief for drift in drifts),
    )


def rejection(playbook: str, _current: int, _pinned: PlaybookContent, drifts: Iterable[Drift]) -> PlaybookDriftRejected:
    """What is remembered of a rejection."""
    return PlaybookDriftRejected(playbook=playbook, rejected=tuple(drift.brief for drift in drifts))


def chosen(things: Sequence[DriftChoice], held: Collection[Drift]) -> tuple[Drift, ...]:
    """The held things that were chosen, each as the decider saw it."""
    if not things:
        raise Problem("argument.invalid", "name what is decided about", argument="things")
    known = {(drift.kind, drift.name): drift for drift in held}
    found = []
    for thing in dict.fromkeys(things):
        drift = known.get((thing.kind, thing.name))
        if drift is None:
            raise Problem("drift.unknown", f"{thing.kind} {thing.name!r} is not held back", name=thing.name)
        if drift.after != thing.after:
            raise Problem("drift.stale", f"{thing.kind} {thing.name!r} is another one now", after=drift.after)
        found.append(drift)
    return tuple(found)


def refuse_misfits(definition: PlaybookDefinition, drifts: Iterable[Drift]) -> None:
    """`override.conflict` where no approval can help: the override itself has to change.

    An override of what the server changed too can be approved: then it stays as it is, over what is new.
    """
    for drift in drifts:
        if drift.conflicts and drift.new:
            override = override_of(definition.servers[drift.server].tools, drift.item)
            found = misfits(override, drift.new.encode(), value_faults) if override is not None else []
            if found:
                raise Problem("override.conflict", f"tool {drift.name!r}: {found[0]}", name=drift.name, faults=found)


def refuse_other_approver(playbook: str, definition: PlaybookDefinition, actor: str) -> None:
    """`auth.forbidden` for everybody but the approver that the playbook names, if it names one."""
    approver = definition.drift_policy.approver
    client = actor.partition("/")[0]
    if approver and approver not in (client, person_of(client)):
        raise Problem("auth.forbidden", f"only {approver} may approve what playbook {playbook!r} holds back")


def refuse_other_policy(playbook: str, before: PlaybookContent | None, wanted: PlaybookDefinition, actor: str) -> None:
    """Who may not approve may not do away with the approval either."""
    if before is not None and before.definition.drift_policy != wanted.drift_policy:
        refuse_other_approver(playbook, before.definition, actor)


def _answer(command: ApproveDrift | RejectDrift, events: Sequence[Event], seq: int, current: int) -> DriftDecided:
    things: tuple[Drift, ...] = ()
    for event in events:
        match event:
            case PlaybookDriftApproved(approved=things, version=current):
                pass
            case PlaybookDriftRejected(rejected=things):
                pass
            case _:
                pass
    return DriftDecided(playbook=command.playbook, version=current, things=things, seq=seq)
