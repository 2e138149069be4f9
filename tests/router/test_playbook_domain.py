from __future__ import annotations

from callboard.contracts.definitions import Exposed, PlaybookContent, PlaybookDefinition, PlaybookServer
from callboard.contracts.events import PlaybookPublished, PlaybookRetired, PlaybookRolledBack
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
