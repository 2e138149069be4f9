"""What a client gets of an answer, and what is kept of it for when it comes back."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import msgspec

from callboard.contracts.replays import EVENT, LAST, PAUSE, KeptEvent
from callboard_edge.mcp.kept_outlet import KeptOutlet
from callboard_edge.mcp.replays import Replays
from callboard_edge.mcp.sessions import Session
from callboard_edge.mcp.stream_holders import StreamHolders

SESSION = Session(id="s" * 40, organisation="acme", playbook="p", version=0, principal="k", protocol="2025-11-25")
CALL = "1a1f0c"
_AT_ONCE = 1e-9


class KeptHere(Replays):
    """A store in a list; `there`: whether it can be reached."""

    def __init__(self, there: bool = True) -> None:
        self.alias = "edge"
        self.there = there
        self.opened: list[str] = []
        self.events: list[KeptEvent] = []
        self._collected = set()

    async def open(self, subject: str, stream: str) -> bool:
        if self.there:
            self.opened.append(subject)
            self._collected.add(stream)
        return self.there

    async def keep(self, subject: str, event: KeptEvent) -> None:
        self.events.append(event)

    @property
    def kept(self) -> list[tuple[int, int, bytes]]:
        return [(event.number, event.kind, event.body) for event in self.events]


class Client:
    """What was written to one connection, and whether it has ended."""

    def __init__(self) -> None:
        self.text = b""
        self.ended = False

    async def receive(self) -> MutableMapping[str, Any]:
        raise AssertionError("a client of this era that goes away is not waited for")

    async def send(self, event: MutableMapping[str, Any]) -> None:
        assert not self.ended, "nothing may be sent after the end"
        self.text += event.get("body", b"")
        self.ended = event["type"] == "http.response.body" and not event.get("more_body")

    @property
    def ids(self) -> list[bytes]:
        return [line[4:] for line in self.text.split(b"\n") if line.startswith(b"id: ")]


def outlet(store: Replays, client: Client, let_go: float = 0, holders: StreamHolders | None = None) -> KeptOutlet:
    made = KeptOutlet(
        store, holders or StreamHolders(), let_go, SESSION, b"1", client.receive, client.send, stream=False
    )
    assert made.resumes(CALL)
    return made


async def test_nothing_is_kept_of_an_answer_in_one_piece() -> None:
    store, client = KeptHere(), Client()
    one = outlet(store, client)
    await one.result(b"{}")
    one.close()
    assert msgspec.json.decode(client.text) == {"jsonrpc": "2.0", "id": 1, "result": {}}
    assert (store.opened, store.events, client.ids) == ([], [], [])


async def test_a_stream_is_kept_as_it_is_said_and_is_collected_until_its_answer() -> None:
    store, client = KeptHere(), Client()
    one = outlet(store, client)
    await one.say(b'{"n":1}')
    assert store.collects(CALL)
    await one.result(b"{}")
    one.close()
    assert store.opened == [f"cb.replay.acme.{SESSION.id}.{CALL}"]
    assert store.kept == [(1, EVENT, b'{"n":1}'), (2, LAST, b'{"jsonrpc":"2.0","id":1,"result":{}}')]
    assert client.ids == [b"1a1f0c.MQ.0", b"1a1f0c.MQ.1", b"1a1f0c.MQ.2"]
    assert client.ended
    assert not store.collects(CALL)


async def test_without_a_store_it_is_a_stream_like_any_other() -> None:
    store, client = KeptHere(there=False), Client()
    one = outlet(store, client, let_go=_AT_ONCE)
    await one.say(b"{}")
    await one.pause(b"100")
    await one.idle()
    await one.result(b"{}")
    assert (client.ids, store.events, client.ended) == ([], [], True)
    assert b"retry" not in client.text
    assert client.text.endswith(b'"result":{}}\n\n')


async def test_a_paused_stream_goes_on_without_its_connection() -> None:
    store, client = KeptHere(), Client()
    one = outlet(store, client)
    await one.pause(b"250")
    assert client.ended
    assert b"retry: 250\ndata: \n\n" in client.text
    said = client.text
    await one.pause(b"250")
    await one.idle()
    await one.say(b"{}")
    await one.error(b"{}")
    assert client.text == said
    assert [kind for _, kind, _ in store.kept] == [PAUSE, PAUSE, EVENT, LAST]


async def test_a_connection_on_which_nothing_is_said_is_let_go_when_that_is_wanted() -> None:
    store, held, let_go = KeptHere(), Client(), Client()
    for client, seconds in ((held, 0.0), (let_go, _AT_ONCE)):
        one = outlet(store, client, let_go=seconds)
        await one.say(b"{}")
        await one.idle()
        assert client.ended == (seconds > 0)


async def test_what_another_connection_carries_is_not_said_here() -> None:
    store, client, holders = KeptHere(), Client(), StreamHolders()
    one = outlet(store, client, holders=holders)
    await one.say(b'{"n":1}')
    holders.release(CALL)
    await one.say(b'{"n":2}')
    assert client.ended
    assert b'{"n":2}' not in client.text
    await one.result(b"{}")
    assert [kind for _, kind, _ in store.kept] == [EVENT, EVENT, LAST]
