"""What is to be sent, and under which command the log says that it was given up."""

from __future__ import annotations

import uuid

import msgspec

_ACTOR = "callboard/webhooks"


class Target(msgspec.Struct, frozen=True):
    """Where a webhook sends to. `both`: the secret was rotated lately, and the old one signs as well."""

    organisation: str
    webhook: str
    url: str
    both: bool


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook that this instance sends for, under a lease. A replay comes before what is new."""

    organisation: str
    webhook: str
    url: str
    kinds: tuple[str, ...]
    position: int
    replay_next: int
    replay_last: int
    failures: int
    both: bool
    lease: uuid.UUID

    @property
    def replays(self) -> bool:
        """Whether there is something to send again."""
        return self.replay_next <= self.replay_last

    @property
    def after(self) -> int:
        """The event behind which it goes on."""
        return self.replay_next - 1 if self.replays else self.position

    def moved(self, seq: int, both: bool) -> Claim:
        """The same, done with this event."""
        change = {"replay_next": seq + 1} if self.replays else {"position": seq}
        return msgspec.structs.replace(self, failures=0, both=both, **change)


class DisableNote(msgspec.Struct, frozen=True, kw_only=True):
    """The command, by nobody, under which the log says that a webhook was given up."""

    command_id: str
    organisation: str
    webhook: str
    seq: int
    actor: str = _ACTOR
