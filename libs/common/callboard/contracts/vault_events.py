"""The events of secrets and sign-ins to upstreams; `callboard.contracts.events` has the rules, and the list of all.

What is secret is nowhere in them.
"""

from __future__ import annotations

import msgspec

from callboard.contracts.personal import Personal


class SecretStored(msgspec.Struct, frozen=True, kw_only=True, tag="secret.stored", tag_field="type"):
    """The vault holds version `version` of the secret; the value is nowhere else."""

    secret: str
    version: int


class SecretDestroyed(msgspec.Struct, frozen=True, kw_only=True, tag="secret.destroyed", tag_field="type"):
    """All versions of the secret were deleted from the vault."""

    secret: str


class VaultKeyRotated(msgspec.Struct, frozen=True, kw_only=True, tag="vault.key_rotated", tag_field="type"):
    """Secrets are sealed under this version of the organisation's data key from here on."""

    version: int


class VaultShredded(msgspec.Struct, frozen=True, kw_only=True, tag="vault.shredded", tag_field="type"):
    """All data keys of the organisation were destroyed, and all that was sealed under them."""


class UpstreamSignedIn(msgspec.Struct, frozen=True, kw_only=True, tag="upstream.signed_in", tag_field="type"):
    """Somebody signed in to a server; the tokens are in the vault. An empty `subject`: for all callers."""

    server: str
    subject: Personal
    issuer: str
    scopes: tuple[str, ...] = ()


class UpstreamSignInLost(msgspec.Struct, frozen=True, kw_only=True, tag="upstream.sign_in_lost", tag_field="type"):
    """The tokens cannot be renewed any more: somebody has to sign in again."""

    server: str
    subject: Personal


class UpstreamSignedOut(msgspec.Struct, frozen=True, kw_only=True, tag="upstream.signed_out", tag_field="type"):
    """The tokens were deleted from the vault."""

    server: str
    subject: Personal


VaultEvent = (
    SecretStored
    | SecretDestroyed
    | VaultKeyRotated
    | VaultShredded
    | UpstreamSignedIn
    | UpstreamSignInLost
    | UpstreamSignedOut
)
