"""`cb.cmd.playbook.roll_back`: publish an old version's content as the next version."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from callboard.contracts.definitions import PlaybookContent
from callboard.contracts.events import PlaybookRolledBack, Recorded
from callboard.contracts.playbooks import RollBackPlaybook, RolledBack
from callboard.contracts.problems import Problem
from callboard.kernel.digest import digest_of_struct
from callboard_router.catalogue.served import catalogues_of
from callboard_router.decisions import Decisions, Writes
from callboard_router.playbooks.decide_drift import refuse_other_policy
from callboard_router.playbooks.domain import PLAYBOOK, Event, Playbook
from callboard_router.playbooks.inquiries import Inquiries
from callboard_router.playbooks.look_back import differences, drift_notes, held_notes, probe_notes, servers_of
from callboard_router.playbooks.plan import ending_notes
from callboard_router.state import Organisation


class RollBack:
    """Look first where a dry run is wanted, else decide and append."""

    def __init__(self, decisions: Decisions, inquiries: Inquiries) -> None:
        self._decisions = decisions
        self._inquiries = inquiries

    async def roll_back(self, command: RollBackPlaybook) -> RolledBack:
        """Answer with the version that is current afterwards; rolling back to what is current changes nothing."""
        state = await self._decisions.current(command.organisation)
        if command.dry_run:
            return await self._looked(command, state)
        before = await self._decisions.seen(command.organisation, command.command_id, command)
        if before is not None:
            return _as_before(command, before, state.playbook(command.playbook))
        return await self._commit(command, state.playbook(command.playbook).current)

    async def _commit(self, command: RollBackPlaybook, looked_at: int) -> RolledBack:
        """Refused when another version comes in between, also where the caller expects none."""
        wanted = msgspec.structs.replace(command, expected=looked_at if command.expected is None else command.expected)
        answer = RolledBack(playbook=command.playbook, version=0, to_version=command.to, content_digest="", seq=0)

        def decide(organisation: Organisation) -> Writes:
            nonlocal answer
            answer, events = _decided(wanted, organisation)
            return {f"playbook-{command.playbook}": events}

        seq = await self._decisions.commit(
            command.organisation, command.command_id, command, command.actor, command.comment, decide
        )
        return msgspec.structs.replace(answer, seq=seq)

    async def _looked(self, command: RollBackPlaybook, organisation: Organisation) -> RolledBack:
        """What it would do, by the same decision; nothing is written."""
        wanted = msgspec.structs.replace(command, comment=command.comment or "dry run")
        answer, events = _decided(wanted, organisation)
        playbook = organisation.playbook(command.playbook)
        then = playbook.content(command.to)
        assert then is not None  # or the decision had refused it
        changes = differences(playbook.content(), then, organisation)
        probes = await self._inquiries.probe(command.organisation, servers_of(then, organisation))
        told, notes = await self._inquiries.concerning(command.organisation, command.playbook, changes)
        reached = await self._inquiries.affected(command.organisation, command.playbook, playbook)
        drift = (*drift_notes(then, catalogues_of(organisation)), *held_notes(then, organisation))
        return msgspec.structs.replace(
            answer,
            changes=told,
            notes=(*probe_notes(probes, organisation), *drift, *ending_notes(events), *notes, *reached.notes),
            clients=reached.clients if events else (),
        )


def _decided(command: RollBackPlaybook, organisation: Organisation) -> tuple[RolledBack, Sequence[Event]]:
    playbook = organisation.playbook(command.playbook)
    events = PLAYBOOK.decide(command, playbook)
    then = playbook.content(command.to)
    refuse_unregistered(command.playbook, then, organisation)
    if then is not None:
        refuse_other_policy(command.playbook, playbook.content(), then.definition, command.actor)
    return _answer(command, playbook, events), events


def _answer(command: RollBackPlaybook, playbook: Playbook, events: Sequence[Event]) -> RolledBack:
    """What this command did, or the version that was current already."""
    for event in events:
        if isinstance(event, PlaybookRolledBack):
            return RolledBack(
                playbook=command.playbook,
                version=event.version,
                to_version=event.to_version,
                content_digest=event.content_digest,
                seq=0,
            )
    content = playbook.content()
    return RolledBack(
        playbook=command.playbook,
        version=playbook.current,
        to_version=command.to,
        content_digest=digest_of_struct(content) if content is not None else "",
        seq=0,
    )


def refuse_unregistered(playbook: str, content: PlaybookContent | None, organisation: Organisation) -> None:
    """A version whose servers are gone cannot be served as it was: `server.unknown` names them."""
    used = content.definition.servers if content is not None else {}
    missing = sorted(set(used) - set(organisation.registered()))
    if missing:
        listed = ", ".join(missing)
        raise Problem(
            "server.unknown",
            f"that version of {playbook!r} uses {listed}, not registered any more; apply a file with it first",
            servers=missing,
        )


def _as_before(command: RollBackPlaybook, events: list[Recorded], playbook: Playbook) -> RolledBack:
    """The answer that this command got before."""
    if not events:
        return _answer(command, playbook, ())
    told = [recorded.event for recorded in events if isinstance(recorded.event, PlaybookRolledBack)]
    return msgspec.structs.replace(_answer(command, playbook, told), seq=events[-1].seq)
