"""Two who change one playbook at once: whoever looked before the other one published is refused, and told what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from callboard.contracts.calls import MODERN
from callboard.contracts.definitions import (
    Catalogue,
    CatalogueItem,
    PlaybookContent,
    PlaybookDefinition,
    ServerDefinition,
    StoredPrompt,
)
from callboard.contracts.drafts import PublishDraft
from callboard.contracts.events import DraftEdited, PlaybookPublished, ServerCatalogueDiscovered, ServerRegistered
from callboard.contracts.playbooks import ApplyOrganisation, RollBackPlaybook
from callboard.contracts.problems import Problem
from callboard.contracts.upstreams import Probed
from callboard.kernel.digest import digest_of_struct
from callboard_router.decisions import Decisions
from callboard_router.drafts.publish import Publish
from callboard_router.playbooks.apply import Apply
from callboard_router.playbooks.inquiries import Inquiries
from callboard_router.playbooks.look_back import probe_notes
from callboard_router.playbooks.roll_back import RollBack
from callboard_router.state import Organisation

ORDER: dict[str, Any] = {"command_id": "1", "organisation": "acme", "comment": "why"}


def definition(title: str) -> PlaybookDefinition:
    return PlaybookDefinition(title=title, prompts={"p": StoredPrompt(template="t")})


def version(number: int, title: str) -> PlaybookPublished:
    content = PlaybookContent(definition=definition(title))
    return PlaybookPublished(
        playbook="start", version=number, content=content, content_digest=digest_of_struct(content)
    )


class Racing:
    """`Decisions` over one organisation, in which somebody else is faster with `between`, once."""

    def __init__(self, *between: Any) -> None:
        self.state = Organisation(Organisation())
        self.state.created = True
        self._between = between
        self.written: list[Any] = []
        for event in (version(1, "One"), version(2, "Two")):
            self.state.fold(event)
        self.state.fold(DraftEdited(playbook="start", revision=1, base=2, definition=definition("Mine")))

    async def current(self, _organisation: str) -> Organisation:
        return self.state

    async def current_system(self) -> None:
        return

    async def seen(self, *_: Any) -> None:
        return

    async def commit(self, _o: str, _i: str, _r: Any, _a: str, _c: str, decide: Callable[[Organisation], Any]) -> int:
        for event in self._between:
            self.state.fold(event)
        self.written = [event for events in decide(self.state).values() for event in events]
        return 7


class Silent:
    """`Inquiries` that nobody answers."""

    async def probe(self, *_: Any) -> dict[str, Probed]:
        return {}


async def published(racing: Racing) -> None:
    await Publish(cast(Decisions, racing), cast(Inquiries, Silent())).publish(PublishDraft(**ORDER, playbook="start"))


async def rolled_back(racing: Racing) -> None:
    command = RollBackPlaybook(**ORDER, playbook="start", to=1)
    await RollBack(cast(Decisions, racing), cast(Inquiries, Silent())).roll_back(command)


async def applied(racing: Racing) -> None:
    command = ApplyOrganisation(**ORDER, servers={}, playbooks={"start": definition("By file")})
    await Apply(cast(Decisions, racing), cast(Inquiries, Silent())).apply(command)


@pytest.mark.parametrize("change", [published, rolled_back, applied])
async def test_who_looked_before_another_publish_is_refused_and_told_what_it_changed(change: Any) -> None:
    racing = Racing(version(3, "Theirs"))
    with pytest.raises(Problem) as refused:
        await change(racing)
    assert (refused.value.code, refused.value.data["current"]) == ("playbook.revision_stale", 3)
    (told,) = refused.value.data["changes"]
    assert (told["path"], told["before"], told["after"]) == ("title", "Two", "Theirs")
    assert not racing.written


async def test_an_edit_that_comes_in_between_is_not_published_unseen() -> None:
    racing = Racing(DraftEdited(playbook="start", revision=2, base=2, definition=definition("Theirs")))
    with pytest.raises(Problem) as refused:
        await published(racing)
    assert (refused.value.code, refused.value.data["revision"]) == ("draft.stale", 2)
    assert not racing.written


@pytest.mark.parametrize("change", [published, rolled_back, applied])
async def test_what_is_no_publish_of_the_playbook_disturbs_nobody(change: Any) -> None:
    racing = Racing(ServerRegistered(server="other", definition=ServerDefinition(url="http://h/mcp")))
    await change(racing)
    assert racing.written


def test_a_probe_tells_who_answers_and_what_is_otherwise_than_at_the_last_discovery() -> None:
    def catalogue(**tools: str) -> Catalogue:
        items = tuple(CatalogueItem(name=name, digest=digest, raw=None) for name, digest in tools.items())  # type: ignore[arg-type]  # not looked at
        return Catalogue(era=MODERN, tools=items)

    state = Organisation()
    state.fold(ServerRegistered(server="git", definition=ServerDefinition(url="http://h/mcp")))
    before = ServerCatalogueDiscovered(server="git", digest="d", catalogue=catalogue(log="1", push="2", same="3"))
    state.fold(before)
    probes = {
        "git": Probed(server="git", catalogue=catalogue(log="9", blame="4", same="3")),
        "web": Probed(server="web", problem="connection refused"),
    }
    assert [*probe_notes(probes, state)] == [
        "server git answers now",
        "server git offers tool blame, and its next discovery will say so",
        "server git does not offer any more: tool push, and its next discovery will say so",
        "server git has changed tool log, and its next discovery will say so",
        "server web does not answer now: connection refused",
    ]
