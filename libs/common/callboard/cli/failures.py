"""What a failed command says on stderr, and its exit code. What is not expected here keeps its traceback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final

import msgspec

from callboard.cli import exit_codes
from callboard.cli.changes import change_lines
from callboard.cli.refusals import Refused, WrongUsage
from callboard.client import McpError, Unreachable
from callboard.contracts.playbooks import Change
from callboard.contracts.problems import Problem
from callboard.kernel.playbook_file import FileRefused
from callboard.kernel.text_faults import visible
from callboard.local.process import LocalServerError
from callboard.platform.bus_identity import BusIdentityError
from callboard.platform.settings import SettingsRefused

_OF_A_FILE: Final = frozenset({"file.invalid", "policy.invalid"})
"""What stands in a file cannot be accepted, whoever found that out."""


def explain(error: Exception) -> int:
    """Print the reason; raises the error again when it is none of the expected ones."""
    match error:
        case Problem():
            told = [f"callboard: {error.message} ({error.code})", *_told_by(error), f"  {error.hint}"]
            lines, code = told, exit_codes.USAGE if error.code in _OF_A_FILE else exit_codes.FAILED
        case McpError():
            lines, code = [f"callboard: {error.message} ({error.code})", *_hint(error)], exit_codes.FAILED
        case Refused() | LocalServerError() | BusIdentityError():
            lines, code = [f"callboard: {error}"], exit_codes.FAILED
        case Unreachable():
            hint = "  Is it running? `callboard up` starts it, `callboard doctor` looks what is wrong."
            lines, code = [f"callboard: {error}", hint], exit_codes.UNREACHABLE
        case FileRefused():
            lines, code = [str(error)], exit_codes.USAGE
        case WrongUsage() | SettingsRefused():
            lines, code = [f"callboard: {error}"], exit_codes.USAGE
        case _:
            raise error
    for line in lines:
        print(visible(line), file=sys.stderr)
    return code


def _told_by(problem: Problem) -> Iterator[str]:
    """What a refusal says besides: what somebody else changed, what contradicts each other, further faults."""
    if "changes" in problem.data:
        for line in change_lines(msgspec.convert(problem.data["changes"], tuple[Change, ...])):
            yield f"  {line}"
    for conflict in problem.data.get("conflicts", ()):
        values = (f"{side} {msgspec.json.encode(conflict.get(side)).decode()}" for side in ("draft", "version"))
        yield f"  ! {conflict.get('path')}: {', '.join(values)}"
    for fault in problem.data.get("faults", ()):
        message = fault.get("message", "") if isinstance(fault, dict) else fault
        if message != problem.message:
            yield f"  {message}"


def _hint(error: McpError) -> list[str]:
    hint = error.data.get("hint") if isinstance(error.data, dict) else None
    return [f"  {hint}"] if hint else []
