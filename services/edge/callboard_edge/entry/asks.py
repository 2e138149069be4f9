"""What edges ask each other about streams that a client goes on with at another one, and who is connected."""

from __future__ import annotations

import msgspec
from nats.aio.msg import Msg

from callboard.contracts import subjects
from callboard.contracts.connected import AskConnected
from callboard.contracts.replays import AskCollecting, Collecting, TakeNews
from callboard.platform.bus import Bus, encode
from callboard_edge.mcp.connected import ConnectedClients
from callboard_edge.mcp.replays import Replays
from callboard_edge.mcp.streams import Streams

_collecting = msgspec.json.Decoder(AskCollecting).decode
_connected = msgspec.json.Decoder(AskConnected).decode
_take = msgspec.json.Decoder(TakeNews).decode


async def listen(bus: Bus, replays: Replays, streams: Streams, clients: ConnectedClients) -> None:
    """Answer what is asked of this edge by its alias, and what is asked of all edges."""

    async def collecting(message: Msg) -> None:
        held = replays.collects(_collecting(message.data).stream)
        await message.respond(encode(Collecting(held=held)))

    async def news(message: Msg) -> None:
        await message.respond(encode(streams.let_go(_take(message.data))))

    async def connected(message: Msg) -> None:
        await message.respond(encode(clients.find(_connected(message.data))))

    await bus.listen(subjects.CONNECTED, connected)
    await bus.listen(subjects.collecting(replays.alias), collecting)
    await bus.listen(subjects.news(replays.alias), news)
