"""Stored prompts: `{{name}}` is replaced by the argument, and by nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping

from callboard.contracts.definitions import StoredPrompt
from callboard.contracts.problems import Problem

_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z0-9_.-]+)\s*\}\}")


def placeholders(template: str) -> set[str]:
    """The names a template asks for."""
    return set(_PLACEHOLDER.findall(template))


def fill(name: str, prompt: StoredPrompt, arguments: Mapping[str, str]) -> str:
    """The prompt's text; a missing required argument is `argument.invalid`."""
    missing = [a.name for a in prompt.arguments if a.required and a.name not in arguments]
    if missing:
        raise Problem("argument.invalid", f"prompt {name!r} needs the argument {missing[0]!r}", prompt=name)
    return _PLACEHOLDER.sub(lambda match: arguments.get(match.group(1), ""), prompt.template)
