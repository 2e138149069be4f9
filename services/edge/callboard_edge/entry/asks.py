"""What edges ask each other about streams that a client goes on with at another one."""

from __future__ import annotations

import msgspec
from nats.aio.msg import Msg

from callboard.contracts import subjects
from callboard.contracts.replays import AskCollecting, Collecting, TakeNews
from callboard.platform.bus import Bus, encode
from callboard_edge.mcp.replays import Replays
from callboard_edge.mcp.streams import Streams

_collecting = msgspec.json.Decoder(AskCollecting).decode
_take = msgspec.json.Decoder(TakeNews).decode


async def listen(bus: Bus, replays: Replays, streams: Streams) -> None:
    """Answer what is asked of this edge by its alias."""

    async def collecting(message: Msg) -> None:
        held = replays.collects(_collecting(message.data).stream)
        await message.respond(encode(Collecting(held=held)))

    async def news(message: Msg) -> None:
        await message.respond(encode(streams.let_go(_take(message.data))))

    await bus.listen(subjects.collecting(replays.alias), collecting)
    await bus.listen(subjects.news(replays.alias), news)
