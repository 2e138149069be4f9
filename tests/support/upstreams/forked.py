"""Starts a test upstream as a fork of a process that has imported everything already; its own start costs nothing.

    python -S -E forked.py SOCKET MODULE [ARG …]

What runs is a process of its own with this one's stdin, stdout and stderr. Signals are handed on to it, it ends when
this one does, and this one ends as it does. Only the standard library, and little of it: the start is what counts.
"""

import os
import signal
import socket
import sys


def main() -> int:
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(sys.argv[1])
        socket.send_fds(server, ["\0".join(sys.argv[2:]).encode()], [0, 1, 2])
        pid = int(server.recv(16))

        def hand_on(number: int, _: object) -> None:
            os.kill(pid, number)

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, hand_on)
        for inherited in (0, 1):
            os.close(inherited)  # the fork is the only one that has them, so that its end is seen
        return int(server.recv(16) or 1)


if __name__ == "__main__":
    sys.exit(main())
