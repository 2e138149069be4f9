"""What the last step of a start is told and answers (`furnish`), without what it takes to do it."""

from __future__ import annotations

import msgspec


class FurnishOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Where Callboard answers, and what to apply. `file` is name and text; `first`: nothing was furnished here yet."""

    url: str
    token: str
    file: tuple[str, str] | None
    first: bool
    repository: str

    def __repr__(self) -> str:
        return f"FurnishOrder(url={self.url!r}, first={self.first})"


class Furnished(msgspec.Struct, frozen=True):
    """What there is to connect to. `token` is empty when none was issued now."""

    organisation: str = ""
    playbook: str = ""
    token: str = ""

    def __repr__(self) -> str:
        return f"Furnished({self.organisation}/{self.playbook})"
