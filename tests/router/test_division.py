"""Which version a caller is served: by pin, by canary, or the current one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from callboard.contracts.calls import MODERN, RpcHead
from callboard.contracts.definitions import PlaybookContent, PlaybookDefinition, PlaybookServer, StoredPrompt
from callboard.contracts.events import (
    CanaryEnded,
    CanaryStarted,
    ClientPinned,
    Event,
    EventMeta,
    OrganisationCreated,
    PlaybookPublished,
    Recorded,
)
from callboard_router.catalogue.deadlines import Limits
from callboard_router.catalogue.division import Division
from callboard_router.catalogue.served import Served
from callboard_router.state import RouterState

WHEN = datetime(2026, 11, 20, 14, 5, tzinfo=UTC)


def canary(percent: float = 50, version: int = 1) -> CanaryStarted:
    return CanaryStarted(
        playbook="start", canary="k", version=version, percent=percent, until=WHEN, condition="errors > 2%", min_calls=5
    )


def head(client: str = "ann", **rest: Any) -> RpcHead:
    return RpcHead(rest.pop("call_id", "id"), "tools/list", rest.pop("era", MODERN), client, "k", 0, 0, **rest)


class Log:
    """A router over a log that is written here: `start` has two versions, each with a prompt of its own."""

    def __init__(self) -> None:
        self.state = RouterState()
        self.served = Served(self.state, 100, Limits(1000, 1000))
        self.seq = 0
        self.add(OrganisationCreated(organisation="acme"))
        for number in (1, 2):
            self.add(published("start", number))
        self.add(published("other", 1))

    def add(self, event: Event) -> list[bool]:
        """Whether each announcement that follows says `divided`."""
        self.seq += 1
        recorded = Recorded(
            organisation="acme", seq=self.seq, event_id="e", stream="s", version=self.seq, type="t", schema_version=1,
            recorded_at=WHEN, meta=EventMeta(actor="a"), event=event,
        )  # fmt: skip
        return [changed.divided for changed in self.served.compile(self.state.apply([recorded]))]

    def version(self, client: str, **rest: Any) -> int:
        return self.served.find("acme", "start", head(client, **rest)).version

    def prompts(self, client: str) -> set[str]:
        return set(self.served.select("acme", head(client, selection="*")).prompts)


def published(playbook: str, version: int) -> PlaybookPublished:
    prompts = {f"p{version}": StoredPrompt(template="x")}
    definition = PlaybookDefinition(prompts=prompts, servers={"git": PlaybookServer()} if version == 1 else {})
    return PlaybookPublished(
        playbook=playbook, version=version, content=PlaybookContent(definition=definition), content_digest="d"
    )


def test_a_playbook_without_pins_and_canary_is_not_divided() -> None:
    log = Log()
    assert log.served.find("acme", "start", head()).division is None
    assert log.version("ann") == 2


def test_a_named_version_wins_over_a_pin_and_a_pin_over_a_canary() -> None:
    log = Log()
    assert log.add(canary(100)) == [True]
    assert log.version("ann") == 1
    assert log.add(ClientPinned(playbook="start", client="ann", version=2)) == [True]
    assert (log.version("ann"), log.version("bob"), log.version("ann", version=1)) == (2, 1, 1)
    assert log.add(CanaryEnded(playbook="start", canary="k", tried=1, reason="stopped")) == [True]
    assert (log.version("ann"), log.version("bob")) == (2, 2)


def test_the_end_of_the_last_division_is_told() -> None:
    log = Log()
    log.add(canary())
    assert log.add(CanaryEnded(playbook="start", canary="k", tried=1, reason="stopped")) == [False]


def test_a_union_takes_each_playbook_in_the_version_of_its_caller() -> None:
    log = Log()
    assert log.prompts("ann") == log.prompts("bob") == {"start__p2", "other__p1"}
    log.add(ClientPinned(playbook="start", client="ann", version=1))
    assert log.prompts("ann") == {"start__p1", "other__p1"}
    assert log.prompts("bob") == {"start__p2", "other__p1"}
    log.add(published("start", 3))
    assert log.prompts("ann") == {"start__p1", "other__p1"}
    assert log.prompts("bob") == {"start__p3", "other__p1"}


def test_the_servers_of_every_version_in_use_are_used() -> None:
    log = Log()
    organisation = log.state.organisation("acme")
    assert organisation.users_of("git") == ["other"]
    log.add(canary())
    assert organisation.users_of("git") == ["start", "other"]
    assert organisation.users_of("git", {"start", "other"}) == []
    log.add(ClientPinned(playbook="start", client="ann", version=1))
    assert organisation.users_of("git", {"start", "other"}) == ["start"]


def test_a_caller_without_a_token_is_known_by_its_session_or_for_one_call() -> None:
    division = Division({}, canary())
    names = [f"n{number}" for number in range(200)]

    def anonymous(**rest: Any) -> int:
        return division.version_for(head("anonymous", anonymous=True, **rest))

    sessions = [anonymous(session=name) for name in names]
    assert set(sessions) == {0, 1}
    assert sessions == [anonymous(session=name, call_id="other") for name in names]
    assert {anonymous(call_id=name) for name in names} == {0, 1}
    assert anonymous(era="") == 0, "what an edge asks for nobody in particular"
