"""A URI in every spelling that a server may take it for: globs judge all of them. Pure.

Which escapes a server undoes, and how often, is its own affair; scheme and host have no case (RFC 3986, 6.2.2.1).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote

from callboard.kernel.names import first_match

MAX_ROUNDS: Final = 8
"""How often escapes are undone; a URI that has escapes even then is nobody's."""
_CASELESS: Final = re.compile(r"[^:]*:(?://[^/?#]*)?")


def decoded(uri: str) -> list[str]:
    """The URI as it is, with its escapes undone, with the escapes in that undone, and so on."""
    found = [uri]
    while len(found) <= MAX_ROUNDS:
        plain = unquote(found[-1])
        if plain == found[-1]:
            break
        found.append(plain)
    return found


def is_elsewhere(uri: str) -> bool:
    """Whether a server may resolve a URI to another one than globs have judged."""
    spellings = decoded(uri)
    climbs = any(part in (".", "..") for one in spellings for part in one.replace("\\", "/").split("/"))
    return climbs or len(spellings) > MAX_ROUNDS


def _folded(text: str) -> str:
    """With scheme and host in lower case. Where a glob says neither, all of it may stand for them."""
    begin = _CASELESS.match(text)
    return text.lower() if begin is None else begin[0].lower() + text[begin.end() :]


class Spellings:
    """One resource of one server as globs are asked for it."""

    def __init__(self, server: str, uri: str) -> None:
        self._said = f"{server}/{uri}"
        self._plain = [f"{server}/{one}" for one in decoded(uri)]
        self._folded = [_folded(one) for one in self._plain]

    def denying(self, globs: Sequence[str]) -> str | None:
        """The first glob that has any of the spellings."""
        return next((glob for glob in globs if self._found(glob)), None)

    def _found(self, glob: str) -> bool:
        either = (glob, _folded(glob))
        plain = any(first_match((glob,), one) is not None for one in self._plain)
        return plain or any(first_match(either, one) is not None for one in self._folded)

    def allowing(self, globs: Sequence[str]) -> str | None:
        """The first glob that has the URI as it was said, where every spelling is had by one of them."""
        allowing = first_match(globs, self._said)
        if allowing is None:
            return None
        either = [*globs, *map(_folded, globs)]
        every = all(first_match(globs, one) is not None for one in self._plain) and all(
            first_match(either, one) is not None for one in self._folded
        )
        return allowing if every else None
