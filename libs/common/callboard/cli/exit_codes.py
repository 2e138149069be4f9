"""What the exit code of every command means."""

from typing import Final

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
UNREACHABLE: Final = 3
NOT_AS_EXPECTED: Final = 4
INTERRUPTED: Final = 130

EXPLAINED: Final = """exit codes:
  0  done
  1  refused or failed; the reason is on stderr
  2  wrong usage, or a file that cannot be accepted
  3  Callboard cannot be reached
  4  done, and something is not as it should be: a broken audit chain, a
     service that does not answer, differences (with --exit-code)
"""
