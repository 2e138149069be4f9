"""A stdio MCP server that misbehaves, both eras.

    python -m tests.support.upstreams.crash

Tools: `crash` exits with status 1 instead of answering; `pid` returns the process id; `spawn` starts a
grandchild `sleep 1000` and returns its process id; `env` returns the names of its environment variables;
`noise` prints lines to stdout that are not JSON-RPC before it answers; `echo {text}`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable

import msgspec

from tests.support.upstreams.echo import tool, write_line
from tests.support.upstreams.rpc import (
    INVALID_PARAMS,
    PARSE_ERROR,
    Arguments,
    Peer,
    Reply,
    Tools,
    dumps,
    failure,
    parse,
    text_result,
)

_GARBAGE = (b"Traceback (most recent call last):", b"{not json", b"[1,2", b'{"json": "but not rpc"}', b"")


class CrashTools(Tools):
    name = "crash"

    def __init__(self) -> None:
        super().__init__()
        self._answers: dict[str, Callable[[], object]] = {
            "crash": lambda: os._exit(1),
            "pid": os.getpid,
            "spawn": _spawn,
            "env": lambda: json.dumps(sorted(os.environ)),
            "noise": _noise,
        }
        self.tools = [tool(name, f"Does {name}", {}, [], {}) for name in self._answers]
        self.tools.append(tool("echo", "Returns the text", {"text": {"type": "string"}}, ["text"], {}))

    def call(self, name: str, arguments: Arguments, reply: Reply) -> None:
        if name in self._answers:
            reply.result(text_result(dumps(str(self._answers[name]()))))
        elif name == "echo":
            reply.result(text_result(bytes(arguments.text) or b'""'))
        else:
            reply.error(INVALID_PARAMS, f"Unknown tool: {name}")


def _spawn() -> int:
    nothing = subprocess.DEVNULL
    return subprocess.Popen(["sleep", "1000"], stdin=nothing, stdout=nothing, stderr=nothing).pid


def _noise() -> str:
    for line in _GARBAGE:
        write_line(line)
    return "quiet again"


class LineReply(Reply):
    __slots__ = ()

    def send(self, frame: bytes, last: bool, code: int = 0) -> None:
        write_line(frame)


def main() -> None:
    peer = Peer(CrashTools())
    for line in sys.stdin.buffer:
        if not line.strip():
            continue
        try:
            message = parse(line)
        except msgspec.MsgspecError as problem:
            write_line(failure(b"", PARSE_ERROR, str(problem)))
            continue
        if not message.id or not message.method:
            continue
        reply = LineReply(message, message.modern)
        if (refusal := peer.refuse(message)) is not None:
            reply.error(*refusal)
        else:
            peer.dispatch(message, reply)


if __name__ == "__main__":
    main()
