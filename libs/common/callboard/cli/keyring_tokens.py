"""Tokens of endpoints in the keyring of the desktop: Keychain, Credential Locker, Secret Service, KWallet.

The package `keyring` comes with the extra `callboard[keyring]`; it is imported only here, and only when it is needed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Final

SERVICE: Final = "callboard"


class KeyringAway(Exception):
    """There is no keyring to ask; the text is for people."""


def find(url: str) -> str:
    """The token for an endpoint; empty when the keyring has none. Raises `KeyringAway`."""
    found = _ask(lambda keyring: keyring.get_password(SERVICE, url))
    return found if isinstance(found, str) else ""


def store(url: str, token: str) -> None:
    """Keep a token for an endpoint in place of the one before. Raises `KeyringAway`."""
    _ask(lambda keyring: keyring.set_password(SERVICE, url, token))


def forget(url: str) -> bool:
    """Delete the token of an endpoint; whether there was one. Raises `KeyringAway`."""
    if not find(url):
        return False
    _ask(lambda keyring: keyring.delete_password(SERVICE, url))
    return True


def _ask(question: Callable[[Any], Any]) -> Any:
    try:
        keyring = importlib.import_module("keyring")
    except ImportError:
        raise KeyringAway("the package `keyring` is not installed; it comes with callboard[keyring]") from None
    try:
        return question(keyring)
    except keyring.errors.NoKeyringError:
        raise KeyringAway("this machine has no keyring") from None
    except Exception as error:
        # Behind `keyring` are the desktop's own services, which fail in ways of their own; their words may be secret.
        raise KeyringAway(f"the keyring did not answer ({type(error).__name__})") from None
