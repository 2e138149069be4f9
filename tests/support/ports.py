"""Ports on which nobody listens."""

from __future__ import annotations

import os
import socket

_HANDED_OUT: set[int] = set()


def free_ports(count: int) -> int:
    """The first of `count` free ports in a row, below those that embedded NATS servers choose from, and those that the
    kernel gives to outgoing connections.

    None is given twice, and each parallel test worker has a range of its own: between this answer and the moment
    somebody listens there is time enough for another one to be given the same.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 10
    for first in range(10_000 + 1_000 * worker + os.getpid() % 400, 11_000 + 1_000 * worker, count):
        ports = range(first, first + count)
        if not _HANDED_OUT.isdisjoint(ports) or not all(_is_free(port) for port in ports):
            continue
        _HANDED_OUT.update(ports)
        return first
    raise RuntimeError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
