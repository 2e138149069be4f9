"""Counts of what happens too often to be told one by one, in bounded memory. Pure.

Above: what is refused at the edge and at the sign-in. Below: nothing.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Tally(Generic[Key]):
    """How often each thing happened since the last `take`; at most `most` are told apart, the rest is one number."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: dict[Key, int] = {}
        self._others = 0

    def __bool__(self) -> bool:
        return bool(self._counts) or self._others > 0

    def add(self, key: Key) -> None:
        """It happened."""
        if key in self._counts:
            self._counts[key] += 1
        elif len(self._counts) < self._most:
            self._counts[key] = 1
        else:
            self._others += 1

    def take(self) -> tuple[list[tuple[Key, int]], int]:
        """What was counted, the most frequent first, and how much beside it; the counting begins anew."""
        counts, others = self._counts, self._others
        self._counts, self._others = {}, 0
        return sorted(counts.items(), key=lambda counted: -counted[1]), others
