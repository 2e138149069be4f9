"""One secret of an organisation: stored in versions that only grow, perhaps destroyed, perhaps stored again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import assert_never

import msgspec

from callboard.contracts.problems import Problem
from callboard.contracts.vault_events import SecretDestroyed, SecretStored, VaultKeyRotated, VaultShredded
from callboard.kernel.decider import Decider

MAX_VALUE_BYTES = 65_536
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")


class Store(msgspec.Struct, frozen=True, kw_only=True):
    """Keep one more version. The value is not part of the decision."""

    secret: str


class Destroy(msgspec.Struct, frozen=True, kw_only=True):
    """Delete every version."""

    secret: str


Order = Store | Destroy
SecretEvent = SecretStored | SecretDestroyed


class Secret(msgspec.Struct, frozen=True):
    """The newest version there ever was, and whether it is still there."""

    version: int = 0
    held: bool = False


def stream_of(secret: str) -> str:
    """The stream of a secret, in its organisation's log."""
    return f"secret-{secret}"


def is_name(secret: str) -> bool:
    """Whether a secret can have this name."""
    return _NAME.fullmatch(secret) is not None


def check(secret: str, value: str) -> None:
    """Raise `argument.invalid` for a bad name, or for a value that is empty or too long; never says the value."""
    if not is_name(secret):
        raise Problem(
            "argument.invalid",
            "secret: use 1 to 100 letters, digits, `.`, `_` and `-`, with a letter or digit at both ends",
            argument="secret",
        )
    if not value or len(value.encode()) > MAX_VALUE_BYTES:
        raise Problem("argument.invalid", f"value: use 1 to {MAX_VALUE_BYTES} bytes", argument="value")


def decide(order: Order, state: Secret) -> Sequence[SecretEvent]:
    """Versions go on counting after a destruction: no two values ever have the same name and version."""
    match order:
        case Store():
            return (SecretStored(secret=order.secret, version=state.version + 1),)
        case Destroy():
            if not state.held:
                raise unknown([order.secret])
            return (SecretDestroyed(secret=order.secret),)
        case _:
            assert_never(order)


def evolve(state: Secret, event: SecretEvent) -> Secret:
    """The newest version, and whether it is held."""
    match event:
        case SecretStored():
            return Secret(event.version, held=True)
        case SecretDestroyed():
            return Secret(state.version, held=False)
        case _:
            assert_never(event)


STREAM = "vault"
"""The stream of an organisation's keys, in its own log."""


class Rotate(msgspec.Struct, frozen=True):
    """Seal under another data key from now on."""


class Shred(msgspec.Struct, frozen=True):
    """Destroy all data keys."""


class Keys(msgspec.Struct, frozen=True):
    """The version of the newest data key; it never goes back."""

    version: int = 1


KeyOrder = Rotate | Shred
KeyEvent = VaultKeyRotated | VaultShredded


def decide_keys(order: KeyOrder, state: Keys) -> Sequence[KeyEvent]:
    """Both can always be done."""
    match order:
        case Rotate():
            return (VaultKeyRotated(version=state.version + 1),)
        case Shred():
            return (VaultShredded(),)
        case _:
            assert_never(order)


def evolve_keys(state: Keys, event: KeyEvent) -> Keys:
    """Which version is the newest."""
    match event:
        case VaultKeyRotated():
            return Keys(event.version)
        case VaultShredded():
            return state
        case _:
            assert_never(event)


def unknown(names: Iterable[str]) -> Problem:
    """The vault holds no secret of these names."""
    listed = sorted({name[:100] for name in names})
    return Problem("secret.unknown", f"the vault has no secret {', '.join(listed)}", secrets=listed)


KEYS = Decider[KeyOrder, Keys, KeyEvent](Keys(), decide_keys, evolve_keys)
SECRET = Decider[Order, Secret, SecretEvent](Secret(), decide, evolve)
