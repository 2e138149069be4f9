"""What edges keep of the streams of handshake sessions, and what they ask each other about them.

Kept events are messages on `cb.replay.<organisation>.<session>.<stream>`, which JetStream stores in memory (CB_REPLAY).
Spec: MCP 2025-11-25, basic/transports, "Resumability and Redelivery".
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

OPENED, EVENT, LAST, PAUSE, PART, ALIVE = 0, 1, 2, 3, 4, 5


class KeptEvent(msgspec.Struct, frozen=True, array_like=True):
    """One event of the stream of an answer, as MessagePack; a new field goes at the end and has a default.

    `number` counts within the stream, `edge` is the alias of who collects. `kind` OPENED: the stream began.
    EVENT: `body` is a whole JSON-RPC message; LAST: so is it, and nothing follows. PART: a piece of the EVENT or LAST
    that follows; `part` is how many pieces came before. PAUSE: the connection was closed, the client is to come back
    after `body` milliseconds. ALIVE: nothing was said for a while, so that a stream that is still collected is not
    forgotten.
    """

    number: int
    kind: int
    edge: str
    body: bytes = b""
    part: int = 0


class AskCollecting(msgspec.Struct, frozen=True, kw_only=True, tag="stream.collecting?", tag_field="type"):
    """edge > edge on `cb.ask.edge.collecting.<edge>`: do you still collect the answer of this stream?"""

    stream: str


class Collecting(msgspec.Struct, frozen=True, kw_only=True, tag="stream.collecting", tag_field="type"):
    """The answer to it."""

    held: bool


class TakeNews(msgspec.Struct, frozen=True, kw_only=True, tag="stream.take_news", tag_field="type"):
    """edge > edge on `cb.ask.edge.news.<edge>`: a client goes on here with its session's own stream, after event
    `number`. Whoever held the stream lets it go and answers with what the client has not heard."""

    stream: str
    session: str
    number: int


class StreamNews(msgspec.Struct, frozen=True, kw_only=True, tag="stream.news", tag_field="type"):
    """The answer to it. `held` False: not known here. `etags` are those of the lists as the stream last knew them,
    `messages` are whole JSON-RPC messages of a server to this session."""

    held: bool
    kinds: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()
    etags: dict[str, str] = {}
    messages: tuple[bytes, ...] = ()


encode_kept = msgspec.msgpack.Encoder().encode
decode_kept = msgspec.msgpack.Decoder(KeptEvent).decode


def parts(event: KeptEvent, limit: int) -> Iterator[KeptEvent]:
    """The event, after PARTs of at most `limit` bytes when its body is longer."""
    body = event.body
    starts = range(0, max(len(body) - limit, 0), limit)
    for part, start in enumerate(starts):
        yield KeptEvent(event.number, PART, event.edge, body[start : start + limit], part)
    cut = len(starts)
    yield msgspec.structs.replace(event, body=body[cut * limit :], part=cut) if cut else event
