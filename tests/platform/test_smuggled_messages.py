"""What a stream gives out reaches no subject on which rooms hear each other, wherever a consumer has it delivered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import nats
import pytest
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig

from callboard.contracts import subjects
from callboard.contracts.playbooks import Done
from callboard.platform import bus_wire
from callboard.platform.bus import Bus, register
from callboard.platform.settings import CommonSettings
from tests.support.backends import Bus as TrustedBus
from tests.support.backends import nats_server
from tests.support.waiting import PATIENCE, eventually, settled

_STREAM, _KEPT = "KV_CB_LEASES", "$KV.CB_LEASES.zz9"


class Wish(msgspec.Struct, tag="wish", tag_field="type"):
    """Stands for any command."""

    by: str


@asynccontextmanager
async def hearing(folder: Path, heard: list[str]) -> AsyncIterator[tuple[Client, Client]]:
    """A router that takes a command; the credentials of another room, and those that make its stream."""
    with nats_server(folder) as server:
        trusted = TrustedBus(server.url, server.trust)

        def credentials(room: str) -> str:
            return trusted.credentials(room, folder)

        async def handle(wish: Wish) -> Done:
            heard.append(wish.by)
            return Done(seq=1)

        router = Bus("router", "router-1", CommonSettings(nats_url=server.url, nats_credentials=credentials("router")))
        await router.connect()
        register(router, subjects.APPLY, handle)
        await router.serve()
        clients = {
            room: await nats.connect(
                server.url, user_credentials=credentials(room), inbox_prefix=subjects.inbox(room).encode()
            )
            for room in ("connectors", "projections", "edge")
        }
        await (
            clients["projections"]
            .jetstream()
            .add_stream(StreamConfig(name=_STREAM, subjects=["$KV.CB_LEASES.>"], allow_direct=True))
        )
        try:
            yield clients["connectors"], clients["edge"]
        finally:
            for client in clients.values():
                await client.close()
            await router.close()


async def _deliver(room: Client) -> None:
    """Have what is written to one's own bucket delivered where one may not publish."""
    config = ConsumerConfig(
        name="zz", deliver_subject=subjects.APPLY, deliver_group="router", ack_policy=AckPolicy.NONE,
        filter_subject=_KEPT, inactive_threshold=20.0,
    )  # fmt: skip
    await room.jetstream().add_consumer(_STREAM, config)
    await room.publish(_KEPT, msgspec.json.encode(Wish(by="a consumer")))
    await settled(room)


async def _get(room: Client) -> None:
    """Have what was written sent there as the answer to a direct get."""
    await room.publish(_KEPT, msgspec.json.encode(Wish(by="a direct get")))
    await settled(room)
    await room.publish(f"$JS.API.DIRECT.GET.{_STREAM}.{_KEPT}", b"", reply=subjects.APPLY)
    await settled(room)


@pytest.mark.parametrize("way", [_deliver, _get])
async def test_what_a_room_keeps_in_its_own_stream_is_no_command_to_another(
    tmp_path: Path, way: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[str] = []
    judge = bus_wire._is_smuggled

    def noted(heard: str, reply: bytes, headers: bytes) -> bool:
        if judge(heard, reply, headers):
            refused.append(heard)
            return True
        return False

    monkeypatch.setattr(bus_wire, "_is_smuggled", noted)
    heard: list[str] = []
    async with hearing(tmp_path, heard) as (connectors, edge):
        assert callable(way)
        await way(connectors)
        await eventually(lambda: refused == [subjects.APPLY])  # it came, and was not taken
        await eventually(lambda: _asked(edge))
        assert set(heard) == {"the edge"}


@pytest.mark.parametrize("way", [_deliver, _get])
async def test_without_the_check_it_would_be(tmp_path: Path, way: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus_wire, "_is_smuggled", lambda *_: False)
    heard: list[str] = []
    async with hearing(tmp_path, heard) as (connectors, _):
        assert callable(way)
        await way(connectors)
        await eventually(lambda: bool(heard))


async def _asked(edge: Client) -> bool:
    await asyncio.wait_for(edge.request(subjects.APPLY, msgspec.json.encode(Wish(by="the edge"))), PATIENCE)
    return True
