from __future__ import annotations

from datetime import UTC, datetime

from callboard.contracts.connected import AffectedClient, ConnectedClient, RecentClient
from callboard.contracts.definitions import PlaybookContent, PlaybookDefinition
from callboard.contracts.events import CanaryStarted
from callboard_router.playbooks.affected import affected_clients
from callboard_router.playbooks.domain import Playbook

VERSIONS = tuple(PlaybookContent(definition=PlaybookDefinition(title=title)) for title in ("one", "two"))


def test_what_a_client_has_open_is_summed_over_edges_and_the_busiest_stands_first() -> None:
    connected = [
        ConnectedClient(client="ann", version=0, streams=1),
        ConnectedClient(client="ann", version=0, streams=1, sessions=2, calls=1),
        ConnectedClient(client="bob", version=0, connections=1),
    ]
    recent = [RecentClient(client="bob", version=2, calls=7), RecentClient(client="eve", version=2, calls=1)]
    assert affected_clients(connected, recent, Playbook(versions=VERSIONS)) == (
        AffectedClient(client="bob", connections=1, recent_calls=7),
        AffectedClient(client="eve", recent_calls=1),
        AffectedClient(client="ann", streams=2, sessions=2, calls=1),
    )


def test_who_is_pinned_or_names_a_version_is_not_reached() -> None:
    connected = [
        ConnectedClient(client="fixed", version=1, streams=1),
        ConnectedClient(client="pinned", version=0, streams=1),
    ]
    recent = [RecentClient(client="old", version=1, calls=3), RecentClient(client="pinned", version=2, calls=3)]
    assert affected_clients(connected, recent, Playbook(versions=VERSIONS, pins={"pinned": 2})) == ()


def test_who_tries_a_canary_is_reached_because_another_version_ends_it() -> None:
    canary = CanaryStarted(
        playbook="start", canary="k", version=1, percent=10, until=datetime.now(UTC), condition="", min_calls=1
    )
    found = affected_clients(
        (), [RecentClient(client="c", version=1, calls=3)], Playbook(versions=VERSIONS, canary=canary)
    )
    assert [one.client for one in found] == ["c"]
