"""An upstream that answers each request with the bytes which the request itself brings along; one era at a time.

    python -m tests.support.upstreams.scripted --era 2025|2026 [--port 0 | --stdio]

A request with `params.script` (base64 of a `Script`) is answered with its frames, whole JSON-RPC messages as they
shall stand on the wire. `params.publish` (base64 of `Lists`) replaces what is listed and announces that. Marks in
frames, of characters that no JSON text can have, stand for what only the upstream knows: see `ID` and the others.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from tests.support.upstreams import wire
from tests.support.upstreams.rpc import HTTP_STATUS, METHOD_NOT_FOUND, MODERN, UNSUPPORTED_VERSION, dumps, failure
from tests.support.upstreams.wire import Connection

ID = "\x02id\x02"
"""The id of the request, as it came."""
TOKEN = "\x02token\x02"
"""The progress token of the request, as it came; `null` when there is none."""
PARAMS = "\x02params\x02"
"""The `params` of the request as they came, in base64."""
PAD = "\x02pad\x02"
"""`Script.pad` times the letter x."""
PAGE = 40
_BREAKS = re.compile(rb"\r\n|\r|\n")
KINDS = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
}


class Script(msgspec.Struct):
    """The answer to one request. `cut`: bytes written at a time over HTTP, 0 for all at once; `eol`: ends SSE lines."""

    frames: list[str]
    eol: str = "\n"
    sse: bool = False
    cut: int = 0
    code: int = 0
    pad: int = 0

    def packed(self) -> str:
        """As it stands in `params.script`."""
        return base64.b64encode(msgspec.json.encode(self)).decode()


class Lists(msgspec.Struct, rename="camel"):
    """What the upstream lists: JSON texts."""

    tools: list[str] = []
    prompts: list[str] = []
    resources: list[str] = []
    resource_templates: list[str] = []

    def packed(self) -> str:
        """As it stands in `params.publish`."""
        return base64.b64encode(msgspec.json.encode(self)).decode()


TOOL = '{"name":"say","inputSchema":{"type":"object"}}'
PROMPT = '{"name":"say","arguments":[]}'
RESOURCE = '{"uri":"test://say","name":"say"}'
TEMPLATE = '{"uriTemplate":"test://say/{more}","name":"say"}'
FIRST = Lists([TOOL], [PROMPT], [RESOURCE], [TEMPLATE])


class _Meta(msgspec.Struct):
    token: msgspec.Raw = msgspec.field(default=msgspec.Raw(b"null"), name="progressToken")


class _Params(msgspec.Struct):
    script: str = ""
    publish: str = ""
    cursor: str = ""
    meta: _Meta = msgspec.field(default_factory=_Meta, name="_meta")


class _Request(msgspec.Struct):
    id: msgspec.Raw = msgspec.Raw()
    method: str = ""
    params: msgspec.Raw = msgspec.Raw(b"{}")


parse = msgspec.json.Decoder(_Request).decode
_params = msgspec.json.Decoder(_Params).decode
_script = msgspec.json.Decoder(Script).decode
_lists = msgspec.json.Decoder(Lists).decode
Say = Callable[[bytes], None]


class Scripted:
    """What is listed, who listens, and the frames of each answer."""

    def __init__(self, era: str) -> None:
        self.modern = era == "2026"
        self.lists = FIRST
        self.listeners: dict[int, Say] = {}

    def answer(self, request: _Request) -> Script:
        """The frames to send, marks replaced."""
        params = _params(request.params)
        if params.script:
            script = _script(base64.b64decode(params.script))
            script.frames = [_marked(frame, request, params, script.pad) for frame in script.frames]
            return script
        if params.publish:
            self.lists = _lists(base64.b64decode(params.publish))
            asyncio.get_running_loop().call_soon(self._announce)
            return self._whole(request, b"{}")
        if request.method in KINDS:
            return self._whole(request, self._page(KINDS[request.method], params.cursor))
        return self._opening(request)

    def _opening(self, request: _Request) -> Script:
        capabilities = {
            "tools": {"listChanged": True}, "prompts": {"listChanged": True}, "resources": {"listChanged": True},
            "logging": {}, "completions": {},
        }  # fmt: skip
        info = {"name": "scripted", "version": "1"}
        if request.method == "initialize" and not self.modern:
            said: dict[str, Any] = {"protocolVersion": "2025-11-25", "capabilities": capabilities, "serverInfo": info}
        elif request.method == "server/discover" and self.modern:
            said = {"supportedVersions": [MODERN], "capabilities": capabilities, "serverInfo": info}
        elif request.method == "ping":
            said = {}
        elif request.method == "initialize":
            frame = failure(request.id, UNSUPPORTED_VERSION, "Unsupported protocol version", {"supported": [MODERN]})
            return Script([frame.decode()], code=UNSUPPORTED_VERSION)
        else:
            frame = failure(request.id, METHOD_NOT_FOUND, "Method not found")
            return Script([frame.decode()], code=METHOD_NOT_FOUND)
        return self._whole(request, dumps(said))

    def _whole(self, request: _Request, result: bytes) -> Script:
        if self.modern:
            tail = b'"resultType":"complete","ttlMs":0,"cacheScope":"public"}'
            result = result[:-1] + (b"," if len(result) > 2 else b"") + tail
        return Script([(b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (request.id, result)).decode()])

    def _page(self, kind: str, cursor: str) -> bytes:
        start = int(cursor or 0)
        items: list[str] = self.lists.resource_templates if kind == "resourceTemplates" else getattr(self.lists, kind)
        page = '{"%s":[%s]' % (kind, ",".join(items[start : start + PAGE]))  # noqa: UP031  # braces all over
        return (page + (f',"nextCursor":"{start + PAGE}"' if start + PAGE < len(items) else "") + "}").encode()

    def _announce(self) -> None:
        for say in tuple(self.listeners.values()):
            for kind in ("tools", "prompts", "resources"):
                say(b'{"jsonrpc":"2.0","method":"notifications/%b/list_changed"}' % kind.encode())


def _marked(frame: str, request: _Request, params: _Params, pad: int) -> str:
    if "\x02" not in frame:
        return frame
    frame = frame.replace(ID, bytes(request.id).decode()).replace(TOKEN, bytes(params.meta.token).decode())
    frame = frame.replace(PARAMS, base64.b64encode(bytes(request.params)).decode())
    return frame.replace(PAD, "x" * pad)


class Http:
    """The upstream over Streamable HTTP at `/mcp`."""

    def __init__(self, upstream: Scripted) -> None:
        self.upstream = upstream

    def serve(self, connection: Connection) -> None:
        if connection.method == b"POST":
            self._post(connection)
        elif connection.method == b"GET" and not self.upstream.modern:
            self._open_stream(connection)
        elif connection.method == b"DELETE":
            connection.respond(204)
        else:
            connection.respond(405)

    def _open_stream(self, connection: Connection) -> None:
        connection.open_events()
        self.upstream.listeners[id(connection)] = connection.event
        connection.on_lost = partial(self.upstream.listeners.pop, id(connection), None)  # type: ignore[assignment]

    def _post(self, connection: Connection) -> None:
        request = parse(connection.body())
        if not request.id or not request.method:
            connection.respond(202)
        elif request.method == "subscriptions/listen" and self.upstream.modern:
            self._open_stream(connection)
            connection.event(b'{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{}}')
        else:
            self._write(connection, request, self.upstream.answer(request))

    def _write(self, connection: Connection, request: _Request, script: Script) -> None:
        session = b"Mcp-Session-Id: one\r\n" if request.method == "initialize" else b""
        status = HTTP_STATUS.get(script.code, 200) if self.upstream.modern else 200
        if not script.sse and len(script.frames) == 1 and not script.cut:
            connection.respond(status, script.frames[0].encode(), session)
            return
        sse = script.sse or len(script.frames) > 1
        body = (
            b"".join(_event(frame.encode(), script.eol.encode()) for frame in script.frames)
            if sse
            else script.frames[0].encode()
        )
        kind = b"text/event-stream" if sse else b"application/json"
        head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n%b\r\n" % (kind, session)
        connection.transport.write(head)
        step = script.cut or len(body)
        for start in range(0, len(body), step):
            connection.chunk(body[start : start + step])
        connection.close_events()


def _event(frame: bytes, eol: bytes) -> bytes:
    """A line break between two tokens ends a `data` line, and the next one begins."""
    return eol.join((b"event: message", *(b"data: " + line for line in _BREAKS.split(frame)), b"", b""))


def write_line(frame: bytes) -> None:
    """One message of stdio; a line break between two tokens cannot be sent."""
    sys.stdout.buffer.write(_BREAKS.sub(b" ", frame) + b"\n")
    sys.stdout.buffer.flush()


async def stdio(upstream: Scripted) -> None:
    """The upstream over stdin and stdout."""
    reader = asyncio.StreamReader(limit=64 * 1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    if not upstream.modern:
        upstream.listeners[0] = write_line
    while line := await reader.readline():
        request = parse(line)
        if request.id and request.method == "subscriptions/listen" and upstream.modern:
            upstream.listeners[0] = write_line
        elif request.id and request.method:
            for frame in upstream.answer(request).frames:
                write_line(frame.encode())


async def main(options: argparse.Namespace) -> None:
    upstream = Scripted(options.era)
    if options.stdio:
        await stdio(upstream)
        return
    endpoint = Http(upstream)
    await wire.until_terminated(lambda: wire.listen(endpoint.serve, options.port))


def _arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--era", choices=("2025", "2026"), required=True)
    parser.add_argument("--stdio", action="store_true")
    return parser.parse_args(argv)


if __name__ == "__main__":
    wire.run(main(_arguments()))
