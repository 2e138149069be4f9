from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from callboard.contracts.assignments import EndCanary, PinClient, PromoteCanary, StartCanary, UnpinClient
from callboard.contracts.definitions import Exposed, PlaybookContent, PlaybookDefinition, PlaybookServer
from callboard.contracts.events import (
    CanaryEnded,
    CanaryPromoted,
    CanaryStarted,
    ClientPinned,
    ClientUnpinned,
    PlaybookPublished,
    PlaybookRetired,
    PlaybookRolledBack,
)
from callboard.contracts.playbooks import RetirePlaybook, RollBackPlaybook
from callboard.kernel.digest import digest_of_struct
from callboard_router.playbooks.domain import PLAYBOOK, PublishPlaybook
from tests.support.gwt import given


def content(title: str, digest: str = "sha256:1") -> PlaybookContent:
    return PlaybookContent(
        definition=PlaybookDefinition(title=title, servers={"time": PlaybookServer()}),
        tools={"time__now": Exposed(server="time", name="now", digest=digest)},
    )


def published(version: int, what: PlaybookContent) -> PlaybookPublished:
    return PlaybookPublished(playbook="start", version=version, content=what, content_digest=digest_of_struct(what))


def roll_back(to: int, comment: str = "why", expected: int | None = None) -> RollBackPlaybook:
    return RollBackPlaybook(
        command_id="1", organisation="acme", playbook="start", to=to, comment=comment, expected=expected
    )


ONE, TWO = content("one"), content("two")


def test_the_first_publish_makes_version_1() -> None:
    given(PLAYBOOK).when(PublishPlaybook(playbook="start", content=ONE, comment="first")).then(published(1, ONE))


def test_publishing_an_equal_definition_changes_nothing() -> None:
    given(PLAYBOOK, published(1, ONE)).when(
        PublishPlaybook(playbook="start", content=content("one", "sha256:other"), comment="again")
    ).then_nothing()


def test_a_publish_without_a_reason_is_refused() -> None:
    given(PLAYBOOK).when(PublishPlaybook(playbook="start", content=ONE, comment=" ")).then_refused("comment.required")


def test_a_playbook_may_waive_the_reason_for_its_publishes_and_rollbacks() -> None:
    free = msgspec.structs.replace(ONE, definition=msgspec.structs.replace(ONE.definition, comments="optional"))
    given(PLAYBOOK).when(PublishPlaybook(playbook="start", content=free, comment="")).then(published(1, free))
    silent = PublishPlaybook(playbook="start", content=TWO, comment="")
    given(PLAYBOOK, published(1, free)).when(silent).then(published(2, TWO))
    back = roll_back(1, comment="")
    given(PLAYBOOK, published(1, TWO), published(2, free)).when(back).then(
        PlaybookRolledBack(playbook="start", version=3, to_version=1, content=TWO, content_digest=digest_of_struct(TWO))
    )


def test_who_waives_the_reason_has_to_say_why() -> None:
    free = msgspec.structs.replace(TWO, definition=msgspec.structs.replace(TWO.definition, comments="optional"))
    waiving = PublishPlaybook(playbook="start", content=free, comment="")
    given(PLAYBOOK, published(1, ONE)).when(waiving).then_refused("comment.required")
    given(PLAYBOOK, published(1, free), published(2, ONE)).when(roll_back(1, "")).then_refused("comment.required")
    given(PLAYBOOK, published(1, free)).when(
        RetirePlaybook(command_id="1", organisation="acme", playbook="start", comment="")
    ).then_refused("comment.required")


def test_a_rollback_publishes_the_old_content_as_the_next_version() -> None:
    given(PLAYBOOK, published(1, ONE), published(2, TWO)).when(roll_back(1)).then(
        PlaybookRolledBack(playbook="start", version=3, to_version=1, content=ONE, content_digest=digest_of_struct(ONE))
    )


def test_a_rollback_to_what_is_current_changes_nothing() -> None:
    given(PLAYBOOK, published(1, ONE)).when(roll_back(1)).then_nothing()


def test_a_rollback_to_a_version_that_never_was_is_refused() -> None:
    given(PLAYBOOK, published(1, ONE)).when(roll_back(7)).then_refused("playbook.version_unknown")
    given(PLAYBOOK, published(1, ONE)).when(roll_back(0)).then_refused("playbook.version_unknown")


def test_a_rollback_that_expects_another_version_is_refused() -> None:
    given(PLAYBOOK, published(1, ONE), published(2, TWO)).when(roll_back(1, expected=1)).then_refused(
        "playbook.revision_stale"
    )


def test_a_rollback_of_a_playbook_that_does_not_exist_is_refused() -> None:
    given(PLAYBOOK).when(roll_back(1)).then_refused("playbook.unknown")


def test_a_retired_playbook_can_be_published_again_with_the_next_version() -> None:
    retire = RetirePlaybook(command_id="1", organisation="acme", playbook="start", comment="gone")
    given(PLAYBOOK, published(1, ONE)).when(retire).then(PlaybookRetired(playbook="start"))
    given(PLAYBOOK, published(1, ONE), PlaybookRetired(playbook="start")).when(
        PublishPlaybook(playbook="start", content=ONE, comment="back")
    ).then(published(2, ONE))


def pin(version: int, client: str = "ann", comment: str = "why") -> PinClient:
    return PinClient(
        command_id="1", organisation="acme", playbook="start", client=client, version=version, comment=comment
    )


def unpin(client: str = "ann") -> UnpinClient:
    return UnpinClient(command_id="1", organisation="acme", playbook="start", client=client, comment="why")


def pinned(version: int, client: str = "ann") -> ClientPinned:
    return ClientPinned(playbook="start", client=client, version=version)


def test_a_client_is_pinned_to_any_version_that_exists() -> None:
    history = (published(1, ONE), published(2, TWO))
    given(PLAYBOOK, *history).when(pin(1)).then(pinned(1))
    given(PLAYBOOK, *history).when(pin(2)).then(pinned(2))
    given(PLAYBOOK, *history, pinned(1)).when(pin(2)).then(pinned(2))
    given(PLAYBOOK, *history).when(pin(3)).then_refused("playbook.version_unknown")
    given(PLAYBOOK, *history).when(pin(0)).then_refused("playbook.version_unknown")
    given(PLAYBOOK).when(pin(1)).then_refused("playbook.unknown")


def test_a_pin_says_why_and_names_a_client() -> None:
    given(PLAYBOOK, published(1, ONE)).when(pin(1, comment=" ")).then_refused("comment.required")
    given(PLAYBOOK, published(1, ONE)).when(pin(1, client="Not A Name")).then_refused("argument.invalid")


def test_a_pin_that_is_there_and_the_end_of_one_that_is_not_change_nothing() -> None:
    given(PLAYBOOK, published(1, ONE), pinned(1)).when(pin(1)).then_nothing()
    given(PLAYBOOK, published(1, ONE)).when(unpin()).then_nothing()
    given(PLAYBOOK, published(1, ONE), pinned(1, "bob")).when(unpin()).then_nothing()


def test_a_pin_holds_until_it_is_taken_away_and_through_every_publish() -> None:
    history = (published(1, ONE), pinned(1), published(2, TWO))
    given(PLAYBOOK, *history).when(pin(1)).then_nothing()
    given(PLAYBOOK, *history).when(unpin()).then(ClientUnpinned(playbook="start", client="ann"))
    given(PLAYBOOK, *history, ClientUnpinned(playbook="start", client="ann")).when(unpin()).then_nothing()


def test_retiring_a_playbook_ends_its_pins() -> None:
    retired = (published(1, ONE), pinned(1), PlaybookRetired(playbook="start"))
    given(PLAYBOOK, *retired).when(unpin()).then_refused("playbook.unknown")
    given(PLAYBOOK, *retired, published(2, ONE)).when(unpin()).then_nothing()


WHEN = datetime(2026, 11, 20, 14, 5, tzinfo=UTC)
HISTORY = (published(1, ONE), published(2, TWO))


def start_canary(version: int = 1, percent: float = 10, condition: str = "errors > 2%", **rest: Any) -> StartCanary:
    values = {"command_id": "k", "comment": "why", "min_calls": 50, **rest}
    return StartCanary(
        organisation="acme", playbook="start", version=version, percent=percent, until=WHEN, condition=condition,
        **values,
    )  # fmt: skip


STARTED = CanaryStarted(
    playbook="start", canary="k", version=1, percent=10, until=WHEN, condition="errors > 2%", min_calls=50
)


def end_canary(reason: Any = "failed", canary: str = "k") -> EndCanary:
    return EndCanary(command_id="1", organisation="acme", playbook="start", comment="why", reason=reason, canary=canary)


def promote(canary: str = "k") -> PromoteCanary:
    return PromoteCanary(command_id="1", organisation="acme", playbook="start", comment="why", canary=canary)


def ended(reason: Any) -> CanaryEnded:
    return CanaryEnded(playbook="start", canary="k", tried=1, reason=reason)


def test_a_canary_tries_any_version_but_the_current_one() -> None:
    given(PLAYBOOK, *HISTORY).when(start_canary()).then(STARTED)
    given(PLAYBOOK, *HISTORY).when(start_canary(2)).then_refused("argument.invalid")
    given(PLAYBOOK, *HISTORY, published(3, ONE)).when(start_canary(1)).then_refused("argument.invalid")
    given(PLAYBOOK, *HISTORY).when(start_canary(3)).then_refused("playbook.version_unknown")
    given(PLAYBOOK).when(start_canary()).then_refused("playbook.unknown")


def test_a_canary_that_makes_no_sense_is_refused() -> None:
    for wrong in (
        start_canary(percent=0), start_canary(percent=101), start_canary(condition="errors < 2%"),
        start_canary(min_calls=0),
    ):  # fmt: skip
        given(PLAYBOOK, *HISTORY).when(wrong).then_refused("argument.invalid")
    given(PLAYBOOK, *HISTORY).when(start_canary(comment=" ")).then_refused("comment.required")
    given(PLAYBOOK, *HISTORY, STARTED).when(start_canary()).then_refused("canary.running")


def test_a_canary_is_ended_once_and_by_its_id() -> None:
    given(PLAYBOOK, *HISTORY, STARTED).when(end_canary()).then(ended("failed"))
    given(PLAYBOOK, *HISTORY, STARTED).when(end_canary("stopped", "")).then(ended("stopped"))
    given(PLAYBOOK, *HISTORY, STARTED, ended("failed")).when(end_canary()).then_refused("canary.unknown")
    given(PLAYBOOK, *HISTORY, STARTED).when(end_canary(canary="other")).then_refused("canary.unknown")
    given(PLAYBOOK, *HISTORY, STARTED, ended("failed")).when(start_canary()).then(STARTED)


def test_promoting_makes_the_content_that_was_tried_the_next_version_once() -> None:
    promoted = CanaryPromoted(
        playbook="start", canary="k", version=3, tried=1, content=ONE, content_digest=digest_of_struct(ONE)
    )
    given(PLAYBOOK, *HISTORY, STARTED).when(promote()).then(promoted)
    given(PLAYBOOK, *HISTORY, STARTED, promoted).when(promote()).then_refused("canary.unknown")
    given(PLAYBOOK, *HISTORY, STARTED, promoted).when(end_canary()).then_refused("canary.unknown")
    given(PLAYBOOK, *HISTORY, STARTED, promoted).when(roll_back(2)).then(
        PlaybookRolledBack(playbook="start", version=4, to_version=2, content=TWO, content_digest=digest_of_struct(TWO))
    )


def test_another_version_or_retiring_ends_a_canary() -> None:
    three = content("three")
    given(PLAYBOOK, *HISTORY, STARTED).when(PublishPlaybook(playbook="start", content=three, comment="new")).then(
        ended("superseded"), published(3, three)
    )
    given(PLAYBOOK, *HISTORY, STARTED).when(roll_back(1)).then(
        ended("superseded"),
        PlaybookRolledBack(
            playbook="start", version=3, to_version=1, content=ONE, content_digest=digest_of_struct(ONE)
        ),
    )
    retire = RetirePlaybook(command_id="1", organisation="acme", playbook="start", comment="gone")
    given(PLAYBOOK, *HISTORY, STARTED).when(retire).then(ended("superseded"), PlaybookRetired(playbook="start"))
    given(PLAYBOOK, *HISTORY, STARTED).when(
        PublishPlaybook(playbook="start", content=TWO, comment="same")
    ).then_nothing()
