"""A cheap MCP upstream for benchmarks and tests, both eras, over HTTP, the old HTTP+SSE, WebSocket or stdio.

    python -m tests.support.upstreams.echo --port 0 [--ledger FILE] [--era both|2025|2026]
        [--tools N] [--page-size N] [--patch FILE] [--late SECONDS] [--sse] [--stdio | --websocket]

Over HTTP, /mcp is Streamable HTTP and /sse the older transport; over WebSocket every path is the endpoint.

Tools: `echo {text}`, `mark {text}`, `slow {seconds, text}`, `fail {}`, `rpc_error {}`, `big {bytes}`,
`progress {steps, interval, seconds, text}` (after the steps it is silent for `seconds`). `mark`, `slow` and `progress`
append `text` and a newline to the ledger when they start, and a cancelled one of the last two `cancelled:text`.
`--tools N` adds N copies of echo, `echo_00001` and so on.
SIGUSR1 adds the tool `extra` and announces it. SIGUSR2 reads `--patch FILE` (JSON: tool -> members to replace, or null
to take the tool away; what it does not name is as it was at the start) and announces that.
`--late SECONDS`: over HTTP, a stream of changes is opened that late, and just before it `extra` comes unannounced.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tests.support.upstreams import wire
from tests.support.upstreams.endpoint import Endpoint
from tests.support.upstreams.pipes import Channel, SseEndpoint, listen_websocket
from tests.support.upstreams.rpc import INVALID_PARAMS, Arguments, Peer, Reply, Tools, dumps, text_result

_TEXT = {"text": {"type": "string"}}
_READ_ONLY = {"readOnlyHint": True, "idempotentHint": True}
_CHANGES = {"readOnlyHint": False, "idempotentHint": False, "destructiveHint": True}


def tool(
    name: str, description: str, properties: dict[str, Any], required: Sequence[str], hints: dict[str, bool]
) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return {"name": name, "description": description, "inputSchema": schema, "annotations": hints}


def _catalogue(copies: int) -> list[dict[str, Any]]:
    number, whole = {"type": "number", "minimum": 0}, {"type": "integer", "minimum": 0}
    steps = {"steps": whole, "interval": number, "seconds": number, **_TEXT}
    return [
        tool("echo", "Returns the text", _TEXT, ["text"], _READ_ONLY),
        tool("mark", "Writes the text to the ledger", _TEXT, ["text"], _CHANGES),
        tool("slow", "Waits, then returns the text", {"seconds": number, **_TEXT}, ["seconds"], _CHANGES),
        tool("fail", "Returns a tool error", {}, [], _READ_ONLY),
        tool("rpc_error", "Returns a JSON-RPC error", {}, [], _READ_ONLY),
        tool("big", "Returns that many bytes", {"bytes": whole}, ["bytes"], _READ_ONLY),
        tool("progress", "Reports progress, then returns", steps, [], _READ_ONLY),
        *(tool(f"echo_{n:05}", f"Copy {n} of echo", _TEXT, ["text"], _READ_ONLY) for n in range(1, copies + 1)),
    ]


class Ledger:
    """An append-only file: one write per line, so several processes can share it."""

    def __init__(self, path: str | None) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._file = os.open(path, flags, 0o644) if path else None

    def append(self, line: str) -> None:
        if self._file is not None:
            os.write(self._file, line.encode() + b"\n")


class EchoTools(Tools):
    name = "echo"

    def __init__(self, ledger: Ledger, copies: int = 0, page_size: int = 0) -> None:
        super().__init__()
        self.ledger = ledger
        self.page_size = page_size
        self.tools = _catalogue(copies)
        self._handlers: dict[str, Callable[[Arguments, Reply], None]] = {
            "echo": _echo,
            "mark": self._mark,
            "slow": self._slow,
            "fail": lambda _, reply: reply.result(text_result(b'"failed as asked"', failed=b"true")),
            "rpc_error": lambda _, reply: reply.error(-32000, "refused as asked", {"reason": "asked"}),
            "big": lambda arguments, reply: reply.result(text_result(b'"%b"' % (b"x" * arguments.bytes))),
            "progress": self._progress,
        }
        self._handlers |= {f"echo_{n:05}": _echo for n in range(1, copies + 1)}

    def call(self, name: str, arguments: Arguments, reply: Reply) -> None:
        handler = self._handlers.get(name)
        if handler is None:
            reply.error(INVALID_PARAMS, f"Unknown tool: {name}")
        else:
            handler(arguments, reply)

    def add_extra(self) -> None:
        if "extra" not in self._handlers:
            self._handlers["extra"] = _echo
            self.tools.append(tool("extra", "Came later", _TEXT, ["text"], _READ_ONLY))

    def patch(self, file: str) -> None:
        """What is listed from now on."""
        patches = json.loads(Path(file).read_text())
        listed = {one["name"]: one for one in _catalogue(0)}
        patched = {name: {**one, **(patches.get(name) or {})} for name, one in listed.items()}
        self.tools = [one for name, one in patched.items() if patches.get(name, {}) is not None]

    def _mark(self, arguments: Arguments, reply: Reply) -> None:
        text = _string(arguments.text)
        self.ledger.append(text)
        reply.result(text_result(dumps(text)))

    def _slow(self, arguments: Arguments, reply: Reply) -> None:
        text = _string(arguments.text)
        self.ledger.append(text)
        timer = asyncio.get_running_loop().call_later(arguments.seconds, reply.result, text_result(dumps(text)))

        def cancel() -> None:
            timer.cancel()
            self.ledger.append(f"cancelled:{text}")

        reply.on_cancel = cancel

    def _progress(self, arguments: Arguments, reply: Reply) -> None:
        """All steps at once, or one every `interval` seconds; then silence, then the result."""
        loop, total, text = asyncio.get_running_loop(), arguments.steps, _string(arguments.text)
        timer: asyncio.TimerHandle | None = None
        if text:
            self.ledger.append(text)

        def step(done: int) -> None:
            nonlocal timer
            while done < total:
                done += 1
                reply.progress(done, total)
                if arguments.interval > 0:
                    timer = loop.call_later(arguments.interval, step, done)
                    return
            result = text_result(b'"%d steps"' % total)
            if arguments.seconds > 0:
                timer = loop.call_later(arguments.seconds, reply.result, result)
            else:
                reply.result(result)

        def cancel() -> None:
            if timer is not None:
                timer.cancel()
            if text:
                self.ledger.append(f"cancelled:{text}")

        reply.on_cancel = cancel
        step(0)


def _string(raw: msgspec.Raw) -> str:
    return msgspec.json.decode(raw, type=str) if raw else ""


def _echo(arguments: Arguments, reply: Reply) -> None:
    text = bytes(arguments.text)
    if text[:1] == b'"':
        reply.result(text_result(text))
    else:
        reply.result(text_result(b'"text must be a string"', failed=b"true"))


def write_line(frame: bytes) -> None:
    sys.stdout.buffer.write(frame + b"\n")
    sys.stdout.buffer.flush()


async def serve_stdio(channel: Channel) -> None:
    """Newline delimited JSON on stdin and stdout."""
    reader = asyncio.StreamReader(limit=64 * 1024 * 1024)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        if line.strip():
            channel.take(line)


def _opens_stream(connection: wire.Connection) -> bool:
    return connection.method == b"GET" or connection.headers.get(b"mcp-method") == b"subscriptions/listen"


def _arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ledger")
    parser.add_argument("--era", choices=("both", "2025", "2026"), default="both")
    parser.add_argument("--tools", type=int, default=0)
    parser.add_argument("--page-size", type=int, default=0)
    parser.add_argument("--sse", action="store_true", help="send every result as SSE")
    parser.add_argument("--stdio", action="store_true")
    parser.add_argument("--patch", metavar="FILE", help="read at SIGUSR2")
    parser.add_argument("--late", type=float, default=0.0, help="seconds until a stream of changes is open")
    parser.add_argument("--websocket", action="store_true", help="instead of HTTP")
    return parser.parse_args(argv)


async def main(options: argparse.Namespace) -> None:
    tools = EchoTools(Ledger(options.ledger), options.tools, options.page_size)
    peer = Peer(tools, options.era)

    def changed() -> None:
        tools.add_extra()
        peer.tools_changed()

    def patched() -> None:
        tools.patch(options.patch)
        peer.tools_changed()

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, changed)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, patched)
    if options.stdio:
        await serve_stdio(Channel(peer, write_line))
        return
    if options.websocket:
        await wire.until_terminated(lambda: listen_websocket(peer, options.port))
        return
    endpoint, older = Endpoint(peer, options.sse), SseEndpoint(peer)

    def opened(connection: wire.Connection) -> None:
        tools.add_extra()
        endpoint.serve(connection)

    def serve(connection: wire.Connection) -> None:
        if connection.path != "/mcp":
            older.serve(connection)
        elif options.late and _opens_stream(connection):
            asyncio.get_running_loop().call_later(options.late, opened, connection)
        else:
            endpoint.serve(connection)

    await wire.until_terminated(lambda: wire.listen(serve, options.port))


if __name__ == "__main__":
    wire.run(main(_arguments()))
