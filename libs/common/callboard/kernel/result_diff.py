"""What is another one in the result of a call that ran again; pure.

A text that is JSON is compared as JSON, so that the order of members does not matter. What was taken out of the
recorded result (`[redacted]`) equals whatever stands there now.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from callboard.contracts.records import Difference
from callboard.kernel.redaction import REDACTED, matches, pointer

MOST: Final = 50
_UNSAID: Final = frozenset({"_meta", "resultType", "ttlMs", "cacheScope"})
"""Members of a result that are the protocol's and not the tool's."""
_LONGEST: Final = 500
_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?|\d\d:\d\d:\d\d(\.\d+)?")
_MISSING: Final = object()
_Path = tuple[str, ...]


def differences(
    before: Any, after: Any, ignore: Sequence[str] = (), *, ignore_times: bool = False
) -> tuple[Difference, ...]:
    """The places that differ, at most `MOST`; `ignore` are patterns of places (`/content/*/text`)."""
    comparison = _Comparison([tuple(pattern.split("/")[1:]) for pattern in ignore], ignore_times)
    found = []
    for difference in comparison.between(_said(before), _said(after), ()):
        found.append(difference)
        if len(found) == MOST:
            break
    return tuple(found)


def _said(result: Any) -> Any:
    if not isinstance(result, dict):
        return result
    return {name: value for name, value in result.items() if name not in _UNSAID}


class _Comparison:
    def __init__(self, ignored: list[_Path], ignore_times: bool) -> None:
        self._ignored = ignored
        self._ignore_times = ignore_times

    def between(self, before: Any, after: Any, path: _Path) -> Iterator[Difference]:
        if before == REDACTED or any(matches(pattern, path) for pattern in self._ignored):
            return
        if isinstance(before, dict) and isinstance(after, dict):
            for name in [*before, *(name for name in after if name not in before)]:
                yield from self.between(before.get(name, _MISSING), after.get(name, _MISSING), (*path, name))
        elif isinstance(before, list) and isinstance(after, list):
            for at in range(max(len(before), len(after))):
                old, new = (side[at] if at < len(side) else _MISSING for side in (before, after))
                yield from self.between(old, new, (*path, str(at)))
        elif isinstance(before, str) and isinstance(after, str):
            yield from self._texts(before, after, path)
        elif type(before) is not type(after) or before != after:
            yield Difference(path=pointer(path), before=_shown(before), after=_shown(after))

    def _texts(self, before: str, after: str, path: _Path) -> Iterator[Difference]:
        old, new = _json_of(before), _json_of(after)
        if old is not None and new is not None:
            yield from self.between(old, new, path)
        elif self._plain(before) != self._plain(after) and not _fits(self._plain(before), self._plain(after)):
            yield Difference(path=pointer(path), before=_shown(before), after=_shown(after))

    def _plain(self, text: str) -> str:
        return _TIME.sub("[time]", text) if self._ignore_times else text


def _fits(recorded: str, now: str) -> bool:
    """Whether `now` is the recorded text with something where that has `[redacted]`."""
    if REDACTED not in recorded:
        return False
    return re.fullmatch(".*?".join(map(re.escape, recorded.split(REDACTED))), now, re.DOTALL) is not None


def _json_of(text: str) -> Any:
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None


def _shown(value: Any) -> Any:
    if value is _MISSING:
        return None
    if isinstance(value, str) and len(value) > _LONGEST:
        return f"{value[:_LONGEST]}… ({len(value)} characters)"
    if isinstance(value, dict | list) and len(text := msgspec.json.encode(value).decode()) > _LONGEST:
        return f"{text[:_LONGEST]}… ({len(text)} characters)"
    return value
