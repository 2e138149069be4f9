"""Long-lived event streams: the GET stream of the handshake era and `subscriptions/listen` of the stateless one."""

from __future__ import annotations

import asyncio

import msgspec

from callboard.contracts.commands import Opened
from callboard_edge.mcp.answers import PING, Receive, Send, send_event, start_sse
from callboard_edge.mcp.envelope import Message, Refused
from callboard_edge.mcp.gate import Place
from callboard_edge.mcp.playbooks import Listener, Playbooks

HEARTBEAT = 15.0
KINDS = ("tools", "prompts", "resources")


class _Filter(msgspec.Struct, rename="camel"):
    tools_list_changed: bool | None = None
    prompts_list_changed: bool | None = None
    resources_list_changed: bool | None = None


class _ListenParams(msgspec.Struct):
    notifications: _Filter


_listen_params = msgspec.json.Decoder(_ListenParams).decode


async def _until_disconnect(receive: Receive, listener: Listener) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    listener.close()


def _notification(method: str, params: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","method":"' + method.encode() + b'","params":' + params + b"}"


async def _run(listener: Listener, playbooks: Playbooks, receive: Receive, send: Send, meta: bytes) -> None:
    watcher = asyncio.create_task(_until_disconnect(receive, listener))
    playbooks.listen(listener)
    try:
        while not listener.closed:
            changes = await listener.changes(HEARTBEAT)
            for kind in changes:
                await send_event(send, _notification(f"notifications/{kind}/list_changed", meta))
            if not changes and not listener.closed:
                await send({"type": "http.response.body", "body": PING, "more_body": True})
    finally:
        playbooks.leave(listener)
        watcher.cancel()


async def serve_get(place: Place, known: dict[str, str], playbooks: Playbooks, receive: Receive, send: Send) -> None:
    """The GET stream of a session. `known`: the lists as they were when the session began."""
    opened = await playbooks.open(place, anonymous=False)
    listener = Listener(place, frozenset(KINDS), known or opened.etags)
    listener.offer(opened.etags)
    await start_sse(send)
    await send({"type": "http.response.body", "body": PING, "more_body": True})
    await _run(listener, playbooks, receive, send, b"{}")
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def serve_listen(
    message: Message, place: Place, opened: Opened, playbooks: Playbooks, receive: Receive, send: Send
) -> None:
    """`subscriptions/listen`: the acknowledgement first, then what changes, each with the subscription's id."""
    try:
        wanted = _listen_params(message.params).notifications
    except msgspec.ValidationError as error:
        raise Refused(-32602, f"params of subscriptions/listen: {error}", message.raw_id) from None
    kinds = [kind for kind in KINDS if getattr(wanted, f"{kind}_list_changed")]
    meta = b'"_meta":{"io.modelcontextprotocol/subscriptionId":' + message.raw_id + b"}"
    honoured = msgspec.json.encode({f"{kind}ListChanged": True for kind in kinds})
    await start_sse(send)
    acknowledged = b"{" + meta + b',"notifications":' + honoured + b"}"
    await send_event(send, _notification("notifications/subscriptions/acknowledged", acknowledged))
    await _run(Listener(place, frozenset(kinds), opened.etags), playbooks, receive, send, b"{" + meta + b"}")
    ended = b'{"jsonrpc":"2.0","id":' + message.raw_id + b',"result":{"resultType":"complete",' + meta + b"}}"
    await send_event(send, ended, last=True)
