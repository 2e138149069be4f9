"""What the start does once, each by a process of its own: what it had to import goes away with it.

Above: `database`, the `up` command. Below: a Python process that is told what to do on stdin, answers on stdout and
talks on stderr. Imported here, the database's driver and the HTTP client would stay for as long as `callboard up` runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import TypeVar

import msgspec

from callboard.local.process import dying_with_us

Order = TypeVar("Order", bound=msgspec.Struct)
Answer = TypeVar("Answer", bound=msgspec.Struct)


class ErrandFailed(Exception):
    """The process ended with `code`; why, it has said on stderr."""

    def __init__(self, module: str, code: int) -> None:
        super().__init__(f"{module} ended with {code}")
        self.code = code


async def send(module: str, order: msgspec.Struct, answer: type[Answer]) -> Answer:
    """Have `module` do what its `carry_out` does with the order; raises `ErrandFailed`.

    Call it in the main thread: the process dies with the calling thread, and when this is cancelled.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", module),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=dying_with_us(),
    )
    try:
        told, _ = await process.communicate(msgspec.json.encode(order))
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    if process.returncode:
        raise ErrandFailed(module, process.returncode)
    return msgspec.json.decode(told, type=answer)


def carry_out(kind: type[Order], work: Callable[[Order], msgspec.Struct]) -> None:
    """The other side: the body of the module's `__main__`. What `work` raises is the caller's to tell."""
    # Ctrl-C goes to every process of the terminal; whoever sent us ends us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=kind)
    answer = msgspec.json.encode(work(order))
    sys.stdout.buffer.write(answer)
    sys.stdout.buffer.flush()
