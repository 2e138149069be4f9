"""A stream that lost a resource to a policy hears of it again when there is no policy any more."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import msgspec

from callboard.contracts.playbooks import CatalogueChanged, Opened, ResourceOwner
from callboard.contracts.problems import Problem
from callboard_edge.mcp.calls import Calls
from callboard_edge.mcp.gate import Asker, Place
from callboard_edge.mcp.listener import Listener
from callboard_edge.mcp.playbooks import Playbooks
from tests.support.waiting import PATIENCE

PLACE = Place("acme", "p", 0)


class Asked(Playbooks):
    """Answered by a router that has a policy against every resource, or has none."""

    def __init__(self) -> None:
        super().__init__(cast("Calls", SimpleNamespace(told=lambda organisation, seq: None)))
        self.policy = True

    async def _ask(self, method: str, place: Place, params: bytes, asker: Asker) -> bytes:
        if method == "callboard/owner":
            if self.policy:
                raise Problem("resource.unknown", "no")
            return msgspec.json.encode(ResourceOwner(server="up"))
        opened = Opened(
            version=1, title="", description="", instructions="", capabilities=msgspec.Raw(b"{}"), etags={},
            divided=self.policy,
        )  # fmt: skip
        return msgspec.json.encode(opened)

    async def settled(self, **change: Any) -> None:
        """It heard of a change and asked for what it has to."""
        self.changed(CatalogueChanged(organisation="acme", playbook="p", version=1, etags={}, **change))
        if self._comparing is not None:
            await asyncio.wait_for(self._comparing, PATIENCE)


def streams(playbooks: Playbooks, *clients: str) -> list[Listener]:
    found = []
    for client in clients:
        asker = Asker(client, client, anonymous=False, session=client)
        one = Listener(PLACE, asker, frozenset(), {}, {"a://1": "up", "a://2": "up"})
        playbooks.listen(one)
        found.append(one)
    return found


async def hears(one: Listener) -> list[str]:
    one.updated("up", "a://1")
    return (await one.news(0.01)).uris


async def test_after_the_last_policy_is_gone_every_stream_hears_what_it_lost() -> None:
    playbooks = Asked()
    both = streams(playbooks, "ann", "bob")
    await playbooks.settled(divided=True)
    assert [await hears(one) for one in both] == [[], []]
    playbooks.policy = False
    await playbooks.settled()
    assert [await hears(one) for one in both] == [["a://1"], ["a://1"]]


async def test_what_a_session_does_not_subscribe_to_any_more_is_not_found_again() -> None:
    playbooks = Asked()
    (one,) = streams(playbooks, "ann")
    await playbooks.settled(divided=True)
    one.watch({"a://2": "up"})
    playbooks.policy = False
    await playbooks.settled()
    assert one.watched == {"a://2": "up"}
