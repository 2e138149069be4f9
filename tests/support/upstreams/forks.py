"""The process that upstreams are forked from: it has imported what they need, which takes longer than most tests.

    python -m tests.support.upstreams.forks SOCKET

See `forked` for what is started this way. Nothing is run here but forks: no thread, no event loop.
"""

from __future__ import annotations

import importlib
import os
import signal
import socket
import sys
import threading
import traceback

# What takes the time. Other modules that a fork is asked for import little beyond it.
importlib.import_module("tests.support.upstreams.everything")


def serve(path: str) -> None:
    """Fork for each connection, until killed."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits: the kernel takes the dead away
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        print("READY", flush=True)
        while True:
            connection, _ = listener.accept()
            words, descriptors, _, _ = socket.recv_fds(connection, 65_536, 3)
            if words and os.fork() == 0:
                listener.close()
                _become(connection, words.decode().split("\0"), descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            connection.close()


def _become(connection: socket.socket, words: list[str], descriptors: list[int]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    connection.sendall(str(os.getpid()).encode())
    threading.Thread(target=_end_with, args=(connection,), daemon=True).start()
    code = 0
    try:
        importlib.import_module(words[0]).main(words[1:])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    connection.sendall(str(code).encode())
    os._exit(code)


def _end_with(connection: socket.socket) -> None:
    """Die when the process that was started in our place is gone."""
    connection.recv(1)
    os._exit(1)


if __name__ == "__main__":
    serve(sys.argv[1])
