"""Entry point of `callboard`: choose the command, import it, run it, turn what went wrong into an exit code."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from callboard.cli import exit_codes
from callboard.cli.parser import build_parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    args = build_parser().parse_args(argv)
    module, _, function = args.command.partition(":")
    try:
        from callboard.cli.output import Output

        command = getattr(importlib.import_module(module), function)
        code: int = command(args, Output(args.json))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return exit_codes.INTERRUPTED
    except BrokenPipeError:
        # The reader (`head`, `less`) has seen enough; what is still buffered goes nowhere, without a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_codes.OK
    except Exception as error:
        from callboard.cli.failures import explain

        return explain(error)


if __name__ == "__main__":
    sys.exit(main())
