"""What the log says of grants: that they are there, lost, or gone; pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from callboard.contracts.vault_events import UpstreamSignedIn, UpstreamSignedOut, UpstreamSignInLost
from callboard.kernel.decider import Decider


class NoteSignIn(msgspec.Struct, frozen=True, kw_only=True, tag="sign_in.note", tag_field="type"):
    """Write down what became of a grant, with nothing of its tokens."""

    command_id: str
    organisation: str
    server: str
    subject: str
    actor: str


SignInEvent = UpstreamSignedIn | UpstreamSignInLost | UpstreamSignedOut


def stream_of(server: str) -> str:
    """The stream of the sign-ins to a server, in its organisation's log."""
    return f"sign_in-{server}"


def decide(order: SignInEvent, state: None) -> Sequence[SignInEvent]:
    """The grant is what decides, and it lies in the vault: here it is written down."""
    return (order,)


def evolve(state: None, event: SignInEvent) -> None:
    """Nothing follows from the past."""


SIGN_INS = Decider[SignInEvent, None, SignInEvent](None, decide, evolve)
