"""Candidates: what is not published, tried by number, and seen by nobody who does not ask for it."""

from __future__ import annotations

from callboard.contracts.candidates import OfferCandidate
from callboard.contracts.definitions import PlaybookDefinition, PlaybookServer, StoredPrompt
from callboard.contracts.problems import Problem
from callboard_router.catalogue.served import MAX_CANDIDATES
from callboard_router.playbooks.candidate import Candidates
from tests.router.test_division import Log, published


class UpToDate:
    """Stands for the follower of a log that says nothing new."""

    async def catch_up(self, organisation: str) -> int:
        return 0


def definition(prompt: str, server: str = "") -> PlaybookDefinition:
    servers = {server: PlaybookServer()} if server else {}
    return PlaybookDefinition(prompts={prompt: StoredPrompt(template="x")}, servers=servers)


def router(log: Log) -> Candidates:
    return Candidates(UpToDate(), log.state, log.served)  # type: ignore[arg-type]  # all of a follower that it uses


async def offer(candidates: Candidates, wanted: PlaybookDefinition, playbook: str = "start") -> int | str:
    """The number, or the code of the refusal."""
    question = OfferCandidate(organisation="acme", playbook=playbook, definition=wanted, actor="ann")
    answer = await candidates.offer(question)
    return answer.problem.code if answer.problem is not None else answer.version


async def test_every_router_names_a_candidate_by_the_same_negative_number_and_serves_it_to_who_asks() -> None:
    log, other = Log(), Log()
    number = await offer(router(log), definition("tried"))

    assert isinstance(number, int)
    assert number < 0
    assert await offer(router(other), definition("tried")) == number
    assert log.version("ann", version=number) == number
    assert log.version("ann") == 2
    assert log.prompts("ann") == {"start__p2", "other__p1"}
    assert await offer(router(log), definition("another")) != number


async def test_what_would_be_no_other_version_is_the_current_one() -> None:
    assert await offer(router(Log()), published("start", 2).content.definition) == 2


async def test_what_could_not_be_published_is_refused_as_publishing_refuses_it() -> None:
    candidates = router(Log())
    assert await offer(candidates, definition("p", "ghost")) == "file.invalid"
    assert await offer(candidates, definition("p"), "nowhere") == "playbook.unknown"


async def test_a_candidate_is_forgotten_when_its_playbook_changes_and_when_there_are_too_many() -> None:
    log = Log()
    candidates = router(log)
    first = await offer(candidates, definition("first"))
    for number in range(MAX_CANDIDATES):
        assert is_known(log, first)
        await offer(candidates, definition(f"more-{number}"))
    assert not is_known(log, first)

    last = await offer(candidates, definition("last"))
    log.add(published("other", 2))
    assert is_known(log, last)
    log.add(published("start", 3))
    assert not is_known(log, last)


def is_known(log: Log, number: int | str) -> bool:
    assert isinstance(number, int)
    try:
        return log.version("ann", version=number) == number
    except Problem as problem:
        return problem.code != "playbook.version_unknown"
