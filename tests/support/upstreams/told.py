"""An MCP upstream that says what a file tells it to, byte for byte, in both eras, over HTTP or stdio.

    python -m tests.support.upstreams.told --script FILE [--ledger FILE] [--era both|2025|2026] [--port 0 | --stdio]

The script is a JSON object, read anew for every request. A key is a method, or a method and what it names
(`tools/call log`, `prompts/get p`, `resources/read URI`, `completion/complete NAME-OR-URI`); its value is the result,
or `{"error": …}`, or for a list an array of pages. `capabilities` are declared. Built in are the tools `emit {method,
params}`, which sends that notification to whoever asked for it, and `say {level}`, which logs as the level agreed
allows. Every request goes to the ledger, one JSON object per line: `method`, `params`, `headers`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tests.support.upstreams import wire
from tests.support.upstreams.echo import Ledger, serve_stdio, write_line
from tests.support.upstreams.endpoint import Endpoint
from tests.support.upstreams.pipes import Channel
from tests.support.upstreams.rpc import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    SUBSCRIPTION_ID,
    Message,
    Peer,
    Reply,
    Tools,
    dumps,
    failure,
    notification,
    text_result,
)

LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
LOG_LEVEL = "io.modelcontextprotocol/logLevel"
_UPDATED = "notifications/resources/updated"
_FILTERS = {
    "notifications/tools/list_changed": "toolsListChanged",
    "notifications/prompts/list_changed": "promptsListChanged",
    "notifications/resources/list_changed": "resourcesListChanged",
}
_script = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_pages = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Told(Peer):
    """Answers from the script."""

    def __init__(self, script: Path, ledger: Ledger, era: Any) -> None:
        tools = Tools()
        tools.name = "told"
        super().__init__(tools, era)
        self._path = script
        self._ledger = ledger
        self._raw: dict[str, Any] = {}
        self._level = "debug"
        self._wanted: dict[Reply, dict[str, Any]] = {}
        self._watched: set[str] = set()

    @property
    def script(self) -> dict[str, msgspec.Raw]:
        return _script(self._path.read_bytes())

    def note(self, body: bytes, headers: dict[bytes, bytes]) -> None:
        """The next message, as it came."""
        try:
            self._raw = json.loads(body)
        except ValueError:
            self._raw = {}
        seen = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()}
        line = {"method": self._raw.get("method"), "params": self._raw.get("params"), "headers": seen}
        self._ledger.append(json.dumps(line))

    def dispatch(self, message: Message, reply: Reply) -> None:
        params = self._raw.get("params") or {}
        match message.method:
            case "initialize" | "server/discover":
                reply.result(self._introduced(message, reply))
            case "ping":
                reply.result(b"{}")
            case "subscriptions/listen":
                self._subscribed(params["notifications"], reply)
            case "resources/subscribe":
                self._watched.add(params["uri"])
                reply.result(b"{}")
            case "resources/unsubscribe":
                self._watched.discard(params["uri"])
                reply.result(b"{}")
            case "logging/setLevel":
                self._level = params["level"]
                reply.result(b"{}")
            case "tools/call" if params.get("name") == "emit":
                self._emit(params["arguments"])
                reply.result(text_result(b'"emitted"'))
            case "tools/call" if params.get("name") == "say":
                self._say(params, reply)
            case _:
                self._from_script(message.method, params, reply)

    def _introduced(self, message: Message, reply: Reply) -> bytes:
        base = self._discovered() if reply.modern else self._initialized(message.params.protocol_version)
        return dumps({**json.loads(base), "capabilities": self.script.get("capabilities", msgspec.Raw(b"{}"))})

    def _from_script(self, method: str, params: dict[str, Any], reply: Reply) -> None:
        ref = params.get("ref", {})
        named = params.get("name") or params.get("uri") or ref.get("name") or ref.get("uri")
        script = self.script
        said = script.get(f"{method} {named}", script.get(method))
        if said is None:
            unknown = f"{method.split('/')[0]} {named!r} is not known" if method in script or named else method
            reply.error(INVALID_PARAMS if named else METHOD_NOT_FOUND, unknown)
            return
        body = bytes(said)
        if body[:1] == b"[":
            pages = _pages(body)
            page = int(params.get("cursor") or 0)
            members = json.loads(bytes(pages[page]))
            following = {"nextCursor": str(page + 1)} if page + 1 < len(pages) else {}
            reply.result(dumps({**members, **following}))
        elif body[:9] == b'{"error":':
            reply.send(b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (reply.id, body[9:-1]), True)
        else:
            reply.result(body)

    # ------------------------------------------------------------------------------- what it says by itself

    def _subscribed(self, wanted: dict[str, Any], reply: Reply) -> None:
        subscription = {SUBSCRIPTION_ID: msgspec.Raw(bytes(reply.id))}
        reply.notify(
            "notifications/subscriptions/acknowledged", dumps({"_meta": subscription, "notifications": wanted})
        )
        self._wanted[reply] = wanted
        reply.on_cancel = lambda: self._wanted.pop(reply, None) and None

    def _emit(self, asked: dict[str, Any]) -> None:
        method, params = asked["method"], asked.get("params", {})
        for reply, wanted in self._wanted.items():
            listed = wanted.get(_FILTERS.get(method, ""))
            if listed or (method == _UPDATED and params["uri"] in wanted.get("resourceSubscriptions", ())):
                meta = {SUBSCRIPTION_ID: msgspec.Raw(bytes(reply.id))}
                reply.notify(method, dumps({**params, "_meta": meta}))
        if method != _UPDATED or params["uri"] in self._watched:
            for stream in tuple(self.streams):
                stream(notification(method, dumps(params)))

    def _say(self, params: dict[str, Any], reply: Reply) -> None:
        level = params["arguments"]["level"]
        wanted = params.get("_meta", {}).get(LOG_LEVEL, "") if reply.modern else self._level
        if wanted and LEVELS.index(level) >= LEVELS.index(wanted):
            reply.notify("notifications/message", dumps({"level": level, "data": f"a {level}"}))
        reply.result(text_result(b'"said"'))


class NotedChannel(Channel):
    """Over stdio, with every line noted."""

    def __init__(self, peer: Told) -> None:
        super().__init__(peer, write_line)
        self._told = peer

    def take(self, text: bytes) -> None:
        self._told.note(text, {})
        super().take(text)


def served(peer: Told) -> Callable[[wire.Connection], None]:
    endpoint = Endpoint(peer)

    def serve(connection: wire.Connection) -> None:
        if connection.method == b"POST":
            peer.note(connection.body(), connection.headers)
        if connection.path == "/mcp":
            endpoint.serve(connection)
        else:
            connection.respond(404, failure(b"", METHOD_NOT_FOUND, "not here"))

    return serve


async def main(options: argparse.Namespace) -> None:
    peer = Told(Path(options.script), Ledger(options.ledger), options.era)
    if options.stdio:
        await serve_stdio(NotedChannel(peer))
    else:
        await wire.until_terminated(lambda: wire.listen(served(peer), options.port))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--script", required=True)
    parser.add_argument("--ledger")
    parser.add_argument("--era", choices=("both", "2025", "2026"), default="both")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--stdio", action="store_true")
    wire.run(main(parser.parse_args()))
