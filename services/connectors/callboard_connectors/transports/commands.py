"""Which programs stdio servers may be: what an administrator of the installation listed, word by word. Pure.

A definition is written by whoever manages an organisation; a program runs with the rights of the connectors. So where
several organisations share an installation, its administrator says which programs there are.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from callboard.kernel.names import matches

_MORE: Final = "..."
_INTERPRETED: Final = ("LD_", "DYLD_", "PYTHON", "NODE_", "RUBY", "PERL", "JAVA_", "BASH_", "UV_", "PIP_", "NPM_")
_OTHERS: Final = frozenset(("PATH", "HOME", "ENV", "SHELLOPTS", "IFS", "CLASSPATH", "JDK_JAVA_OPTIONS"))
"""Variables that put other code into a program than its command names, or another program in its place."""


class Commands(msgspec.Struct, frozen=True):
    """The list; `entries` None: any command, with any environment."""

    entries: tuple[tuple[str, ...], ...] | None = None

    @classmethod
    def parse(cls, setting: str, text: str, *, production: bool) -> Commands:
        """From `uvx mcp-server-time; npx -y @scope/server@1.2.3 ...`; raises ValueError naming the setting."""
        entries = tuple(tuple(entry.split()) for entry in text.split(";") if entry.strip())
        if any(_MORE in entry[:-1] or entry == (_MORE,) for entry in entries):
            raise ValueError(f"{setting}: `{_MORE}` stands at the end of a command")
        if production and any(set(entry[0]) & set("*?[") for entry in entries):
            raise ValueError(f"{setting}: in production the first word of a command is the name of one program")
        return cls(entries if entries or production else None)

    def fault(self, command: Sequence[str], variables: Collection[str]) -> str:
        """Why this may not run; empty: it may."""
        if self.entries is None:
            return ""
        if not any(_fits(entry, command) for entry in self.entries):
            return "its command is not among those that an administrator of this installation listed"
        loaded = sorted(name for name in variables if _loads_code(name.upper()))
        return f"its variable {loaded[0]} could put other code into a listed command" if loaded else ""


def _fits(entry: Sequence[str], command: Sequence[str]) -> bool:
    words = entry[:-1] if entry[-1] == _MORE else entry
    enough = len(command) >= len(words) if entry[-1] == _MORE else len(command) == len(words)
    return enough and all(matches(glob, word) for glob, word in zip(words, command, strict=False))


def _loads_code(name: str) -> bool:
    return name in _OTHERS or name.startswith(_INTERPRETED)
