"""Which programs stdio servers may be: what an administrator of the installation listed, word by word. Pure.

A definition is written by whoever manages an organisation; a program runs with the rights of the connectors. So where
several organisations share an installation, its administrator says which programs there are, which variables their
definitions may set, and where they may start. Nothing is allowed that is not named: any program has variables of its
own that make it run something else (`GIT_CONFIG_COUNT`), and no list of those would be complete.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from posixpath import normpath
from typing import Final

import msgspec

from callboard.kernel.names import matches

_MORE: Final = "..."
_VARIABLE: Final = "env:"
_FOLDER: Final = "cwd:"
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_INTERPRETED: Final = (
    *("LD_", "DYLD_", "PYTHON", "NODE_", "RUBY", "PERL", "JAVA_", "_JAVA_", "BASH_", "UV_", "PIP_", "NPM_"),
    *("GIT_CONFIG", "GIT_SSH", "GCONV_", "OPENSSL_"),
)
_OTHERS: Final = frozenset(
    (
        *("PATH", "HOME", "ENV", "SHELL", "SHELLOPTS", "IFS", "CLASSPATH", "JDK_JAVA_OPTIONS", "GIT_ASKPASS"),
        *("GIT_EDITOR", "GIT_EXEC_PATH", "GIT_EXTERNAL_DIFF", "GIT_PAGER", "GIT_PROXY_COMMAND", "GIT_TEMPLATE_DIR"),
        *("EDITOR", "VISUAL", "PAGER", "SSH_ASKPASS", "PROMPT_COMMAND", "DOTNET_STARTUP_HOOKS", "XDG_CONFIG_HOME"),
    )
)
"""Variables that put other code into a program than its command names, or another program in its place. They cannot
be named in a list either."""


class Command(msgspec.Struct, frozen=True):
    """What one entry allows: globs for the words, names of variables, globs for the folder it starts in."""

    words: tuple[str, ...]
    variables: frozenset[str] = frozenset()
    folders: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Command:
        """From `mcp-server-git --repository * env:TZ cwd:/srv/*`; raises ValueError."""
        words = text.split()
        granted: list[str] = []
        while words and words[-1].startswith((_VARIABLE, _FOLDER)):
            granted.append(words.pop())
        variables = frozenset(one.removeprefix(_VARIABLE) for one in granted if one.startswith(_VARIABLE))
        folders = tuple(one.removeprefix(_FOLDER) for one in granted if one.startswith(_FOLDER))
        if not words or words == [_MORE]:
            raise ValueError("an entry begins with a program")
        if _MORE in words[:-1]:
            raise ValueError(f"`{_MORE}` stands at the end of a command, before `{_VARIABLE}` and `{_FOLDER}`")
        for name in sorted(variables):
            _check(name)
        if not all(folder.startswith("/") for folder in folders):
            raise ValueError(f"`{_FOLDER}` is followed by an absolute path, with `*` where it may differ")
        return cls(tuple(words), variables, folders)

    def runs(self, command: Sequence[str]) -> bool:
        """Whether these are its words."""
        more = self.words[-1] == _MORE
        words = self.words[:-1] if more else self.words
        enough = len(command) >= len(words) if more else len(command) == len(words)
        return enough and all(matches(glob, word) for glob, word in zip(words, command, strict=False))

    def fault(self, variables: Collection[str], cwd: str | None) -> str:
        """What of this it does not allow."""
        for name in sorted(variables):
            if _loads_code(name):
                return f"its variable {name} could put other code into a listed command"
            if name not in self.variables:
                return f"its variable {name} is not listed for this command; {_add(_VARIABLE + name)}"
        if cwd is not None and not _lies_in(cwd, self.folders):
            return f"its cwd {cwd} is not listed for this command; {_add(_FOLDER + cwd)}"
        return ""


class Commands(msgspec.Struct, frozen=True):
    """The list; `entries` None: any command, with any environment, anywhere."""

    entries: tuple[Command, ...] | None = None

    @classmethod
    def parse(cls, setting: str, text: str, *, production: bool) -> Commands:
        """From `uvx mcp-server-time env:TZ; npx -y @scope/server@1.2.3 ...`; raises ValueError naming the setting."""
        try:
            entries = tuple(Command.parse(entry) for entry in text.split(";") if entry.strip())
        except ValueError as error:
            raise ValueError(f"{setting}: {error}") from None
        if production and any(set(entry.words[0]) & set("*?[") for entry in entries):
            raise ValueError(f"{setting}: in production the first word of a command is the name of one program")
        return cls(entries if entries or production else None)

    def fault(self, command: Sequence[str], variables: Collection[str], cwd: str | None) -> str:
        """Why this may not run so; empty: it may, because one entry allows all of it."""
        if self.entries is None:
            return ""
        faults = [entry.fault(variables, cwd) for entry in self.entries if entry.runs(command)]
        if not faults:
            return "its command is not among those that an administrator of this installation listed"
        return "" if "" in faults else faults[0]


def _check(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(f"`{_VARIABLE}` is followed by the name of one variable")
    if _loads_code(name):
        raise ValueError(f"the variable {name} could put other code into a command; nobody may set it")


def _lies_in(cwd: str, folders: Sequence[str]) -> bool:
    """Only a path as it is: `..` would lead out of what a glob means."""
    return normpath(cwd) == cwd and any(matches(folder, cwd) for folder in folders)


def _loads_code(name: str) -> bool:
    return name.upper() in _OTHERS or name.upper().startswith(_INTERPRETED)


def _add(word: str) -> str:
    return f"an administrator of this installation can add `{word}` to its entry"
