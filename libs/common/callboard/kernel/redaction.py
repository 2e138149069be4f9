"""Take out of recorded arguments and results what must not be kept; pure.

Three rules, one after the other: what the playbook's patterns name; what stands under a name that sounds like a secret
or has the form of one; and, wherever else it stands, every text that one of the first two took out. A text that is JSON
itself (tools like to answer so) is looked into as if it stood there as JSON, a tool's text also as its
`structuredContent`, of which it is a copy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any, Final

import msgspec

REDACTED: Final = "[redacted]"
_SHORTEST: Final = 4
"""A taken-out text is looked for elsewhere from this length on; shorter ones stand everywhere by chance."""
_DEEPEST: Final = 64
_SECRET_NAME = re.compile(
    r"password|passwd|passphrase|passcode|secret|^(pin|otp|cvv|cvc|auth)$"
    r"|(token|apikey|accesskey|privatekey|signingkey|authorization|cookies?|credentials?)$"
)
# What only sounds so.
_NO_SECRET = re.compile(r"(page|progress|cancel|continuation|next|sync|max|stop)token$")
_SECRET_TEXT = re.compile(
    r"""
    -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----.*?(?:-----END\ [A-Z ]*PRIVATE\ KEY-----|\Z)
  | \beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*                                # a JWT
  | \b(?:cb[ikloprs]_|gh[porsu]_|github_pat_|glpat-|xox[abeoprs]-|sk-|sk_live_|rk_live_|npm_|pypi-|hf_)[\w-]{16,}
  | \b(?:AKIA|ASIA)[0-9A-Z]{16}\b
  | \bAIza[\w-]{35}\b
  | (?<=://)[^\s/:@]*:[^\s/@]+(?=@)                                     # user and password of a URL
  | (?i:(?<=\bbearer\ )|(?<=\bbasic\ ))[\w.~+/-]{8,}=*
  | (?i:(?<=password=)|(?<=passwd=)|(?<=secret=)|(?<=token=)|(?<=api_key=)|(?<=apikey=))[^\s&"',;]+
    """,
    re.VERBOSE | re.DOTALL,
)
_Path = tuple[str, ...]


class Redaction:
    """The patterns of one playbook, and what they took out of one call."""

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self._patterns = [tuple(pattern.split("/")[1:]) for pattern in patterns]
        self._places: dict[str, None] = {}
        self._found: set[str] = set()

    def apply(self, content: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
        """`{"arguments": …, "result": …}` without what must not be kept, and the pointers of what that was."""
        cleaned = self._value(content, ((),), "", 0)
        longest_first = sorted(self._found, key=len, reverse=True)
        if longest_first:
            pattern = re.compile("|".join(map(re.escape, longest_first)))
            cleaned = self._everywhere(cleaned, pattern, ())
        return cleaned, tuple(self._places)

    def _value(self, value: Any, paths: tuple[_Path, ...], name: str, depth: int) -> Any:
        if any(matches(pattern, path) for pattern in self._patterns for path in paths) or (
            sounds_secret(name) and value is not None and not isinstance(value, bool)
        ):
            return self._taken(value, paths[0])
        if depth > _DEEPEST:
            return self._taken(value, paths[0])
        if isinstance(value, dict):
            return {key: self._value(item, _below(paths, key), key, depth + 1) for key, item in value.items()}
        if isinstance(value, list):
            return [self._value(item, _below(paths, str(at)), "", depth + 1) for at, item in enumerate(value)]
        return self._text(value, paths, depth) if isinstance(value, str) else value

    def _text(self, text: str, paths: tuple[_Path, ...], depth: int) -> str:
        inner = _json_in(text)
        if inner is not None:
            # MCP server/tools: structured content is repeated as JSON in a text, "for backwards compatibility".
            also = (("result", "structuredContent"),) if paths[0][:2] == ("result", "content") else ()
            cleaned = self._value(inner, (*paths, *also), "", depth + 1)
            return text if cleaned == inner else msgspec.json.encode(cleaned).decode()
        found = [match[0] for match in _SECRET_TEXT.finditer(text)]
        if not found:
            return text
        self._found.update(secret for secret in found if len(secret) >= _SHORTEST)
        self._places[pointer(paths[0])] = None
        return _SECRET_TEXT.sub(REDACTED, text)

    def _taken(self, value: Any, path: _Path) -> str:
        self._places[pointer(path)] = None
        self._found.update(text for text in _texts(value) if len(text) >= _SHORTEST)
        return REDACTED

    def _everywhere(self, value: Any, pattern: re.Pattern[str], path: _Path) -> Any:
        if isinstance(value, dict):
            return {
                pattern.sub(REDACTED, key): self._everywhere(item, pattern, (*path, key)) for key, item in value.items()
            }
        if isinstance(value, list):
            return [self._everywhere(item, pattern, (*path, str(at))) for at, item in enumerate(value)]
        if isinstance(value, str) and value != REDACTED and pattern.search(value):
            self._places[pointer(path)] = None
            return pattern.sub(REDACTED, value)
        return value


def sounds_secret(name: str) -> bool:
    """Whether what has this name is taken for a secret: `password`, `apiKey`, `X-Auth-Token`."""
    plain = re.sub(r"[^a-z]", "", name.lower())
    return bool(_SECRET_NAME.search(plain)) and not _NO_SECRET.search(plain)


def matches(pattern: _Path, path: _Path) -> bool:
    """Whether a pattern, step by step, names this place."""
    if not pattern or not path:
        return pattern == path
    if pattern == ("**",):
        return True
    if pattern[0] == "**":
        return matches(pattern[1:], path) or matches(pattern, path[1:])
    return fnmatchcase(_escaped(path[0]), pattern[0]) and matches(pattern[1:], path[1:])


def pointer(path: _Path) -> str:
    """A place as a JSON pointer (RFC 6901)."""
    return "".join(f"/{_escaped(step)}" for step in path)


def _escaped(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1")


def _below(paths: tuple[_Path, ...], step: str) -> tuple[_Path, ...]:
    return tuple((*path, step) for path in paths)


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value


def _json_in(text: str) -> Any:
    stripped = text.strip()
    if stripped[:1] not in ("{", "["):
        return None
    try:
        return msgspec.json.decode(stripped)
    except (msgspec.DecodeError, RecursionError):
        return None
