"""The process in which `callboard up` furnishes (`local.errands`): a refusal is told as any command tells it."""

from __future__ import annotations

import sys

from callboard.cli.output import Output
from callboard.local import errands
from callboard.local.furnish import carry_out
from callboard.local.furnished import FurnishOrder


def main() -> int:
    """Do what stdin says; returns the exit code."""
    say = Output(as_json=False).talk
    try:
        errands.carry_out(FurnishOrder, lambda order: carry_out(order, say))
    except Exception as error:
        from callboard.cli.failures import explain

        return explain(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
