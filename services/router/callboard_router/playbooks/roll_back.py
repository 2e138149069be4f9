"""`cb.cmd.playbook.roll_back`: publish an old version's content as the next version."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from callboard.contracts.definitions import PlaybookContent
from callboard.contracts.events import PlaybookRolledBack, Recorded
from callboard.contracts.playbooks import RollBackPlaybook, RolledBack
from callboard.contracts.problems import Problem
from callboard.kernel.digest import digest_of_struct
from callboard_router.decisions import Decisions, Writes
from callboard_router.playbooks.domain import PLAYBOOK, Event, Playbook
from callboard_router.state import Organisation


async def roll_back(command: RollBackPlaybook, decisions: Decisions) -> RolledBack:
    """Answer with the version that is current afterwards; rolling back to what is current changes nothing."""
    state = await decisions.current(command.organisation)
    before = await decisions.seen(command.organisation, command.command_id, command)
    if before is not None:
        return _as_before(command, before, state.playbook(command.playbook))

    answer = RolledBack(playbook=command.playbook, version=0, to_version=command.to, content_digest="", seq=0)

    def decide(organisation: Organisation) -> Writes:
        nonlocal answer
        playbook = organisation.playbook(command.playbook)
        events = PLAYBOOK.decide(command, playbook)
        answer = _answer(command, playbook, events)
        refuse_unregistered(command.playbook, playbook.content(command.to), organisation)
        return {f"playbook-{command.playbook}": events}

    seq = await decisions.commit(
        command.organisation, command.command_id, command, command.actor, command.comment, decide
    )
    return msgspec.structs.replace(answer, seq=seq)


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
    event = events[-1].event
    assert isinstance(event, PlaybookRolledBack)
    return msgspec.structs.replace(_answer(command, playbook, (event,)), seq=events[-1].seq)
