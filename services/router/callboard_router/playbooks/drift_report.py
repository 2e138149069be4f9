"""`cb.ask.router.drift`: what is held back now, what is different about it, and whom that concerns."""

from __future__ import annotations

import msgspec

from callboard.contracts.drift import AskDrift, Drift, HeldThing, HeldThings
from callboard.contracts.playbooks import Change
from callboard.contracts.problems import Problem
from callboard.kernel.definition_diff import definition_changes
from callboard.kernel.text_faults import text_faults
from callboard_router.decisions import Decisions
from callboard_router.playbooks.drift_found import held_in
from callboard_router.playbooks.inquiries import Inquiries
from callboard_router.state import Organisation


async def report(question: AskDrift, decisions: Decisions, inquiries: Inquiries) -> HeldThings:
    """Of one playbook (`playbook.unknown`) or of all."""
    organisation = await decisions.current(question.organisation)
    if not question.playbook:
        names = sorted(organisation.playbooks)
        return HeldThings(held=tuple(thing for name in names for thing in held_things(organisation, name)))
    if not organisation.playbook(question.playbook).served:
        raise Problem("playbook.unknown", f"there is no playbook {question.playbook!r}", playbook=question.playbook)
    things, notes = [], dict[str, None]()
    for thing in held_things(organisation, question.playbook):
        changes, said = await inquiries.concerning(question.organisation, question.playbook, thing.changes)
        things.append(msgspec.structs.replace(thing, changes=changes))
        notes |= dict.fromkeys(said)
    return HeldThings(held=tuple(things), notes=tuple(notes))


def held_things(organisation: Organisation, playbook: str) -> list[HeldThing]:
    """What one playbook holds back, by kind and name."""
    pinned = organisation.pinned(playbook)
    if pinned is None:
        return []
    state, current = organisation.drift(playbook), organisation.playbook(playbook).current
    return [
        HeldThing(
            playbook=playbook,
            version=current,
            drift=drift,
            rejected=state.is_rejected(drift),
            approver=pinned.definition.drift_policy.approver,
            changes=changes_of(drift),
        )
        for _, drift in sorted(held_in(organisation, playbook).items())
    ]


def changes_of(drift: Drift) -> tuple[Change, ...]:
    """The difference, line by line."""
    path = f"{drift.kind} {drift.name}"
    if drift.change == "removed":
        return (Change(kind="removed", path=path, before=drift.server, severity="breaking"),)
    new = msgspec.json.decode(drift.new)
    if drift.change == "added":
        return (Change(kind="added", path=path, after=new, warnings=tuple(text_faults(new))),)
    if not drift.old:
        warnings = tuple(text_faults(new))
        return (Change(kind="changed", path=path, before=drift.before, after=drift.after, warnings=warnings),)
    return tuple(definition_changes(path, drift.old.encode(), drift.new.encode()))
