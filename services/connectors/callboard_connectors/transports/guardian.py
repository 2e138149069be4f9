"""Kills the process groups of our children when this worker is killed: a worker that gets SIGKILL cannot.

PDEATHSIG takes the child itself, but not what the child started. So one small shell per worker reads which
groups exist, and kills those that are left when its input ends, which happens however the worker ends.
"""

from __future__ import annotations

import contextlib
import subprocess

_SCRIPT = """
groups=""
while read -r verb group; do
  kept=""
  for one in $groups; do [ "$one" = "$group" ] || kept="$kept $one"; done
  groups=$kept
  [ "$verb" = watch ] && groups="$groups $group"
done
for one in $groups; do kill -s KILL -- "-$one" 2>/dev/null; done
exit 0
"""


class Guardian:
    """Starts with the first child, in a session of its own, so that no terminal signal ends it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def watch(self, group: int) -> None:
        """Kill this process group when the worker is gone."""
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                ("/bin/sh", "-c", _SCRIPT),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={},
                cwd="/",
                start_new_session=True,
            )
        self._tell(b"watch %d\n" % group)

    def forget(self, group: int) -> None:
        """The group is gone."""
        self._tell(b"forget %d\n" % group)

    def _tell(self, line: bytes) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.write(line)
                self._process.stdin.flush()

    def close(self) -> None:
        """All children are gone: end."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.5)
            self._process = None
