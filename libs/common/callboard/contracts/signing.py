"""The keys that sign access tokens, and the grants behind the tokens. Subjects: `contracts.signing_subjects`."""

from __future__ import annotations

from datetime import datetime

import msgspec


class AskSigningKeys(msgspec.Struct, frozen=True, kw_only=True, tag="signing_keys?", tag_field="type"):
    """edge > authsvc: which keys are good now?"""


class SigningKeyLine(msgspec.Struct, frozen=True, kw_only=True):
    """One public key: P-256, its point in base64url without padding (RFC 7518). It signs from `signs_from` on."""

    kid: str
    x: str
    y: str
    signs_from: datetime


class SigningKeys(msgspec.Struct, frozen=True, kw_only=True, tag="signing_keys", tag_field="type"):
    """Answer: those that sign, will sign, and have signed what may still be in use; the oldest first."""

    keys: tuple[SigningKeyLine, ...]


class RotateSigningKey(msgspec.Struct, frozen=True, kw_only=True, tag="signing_key.rotate", tag_field="type"):
    """Publish another key, which signs a day from now; answered with `SigningKeys`.

    `at_once`, for a key that leaked: it signs now, all others are gone, and every token they signed is refused.
    `organisation` is `layers.SYSTEM`: the log of the installation.
    """

    command_id: str
    organisation: str
    at_once: bool = False
    comment: str = ""
    actor: str = ""


class NewSigningKey(msgspec.Struct, frozen=True, kw_only=True):
    """Body of `POST /api/v1/system/signing-keys`; see `RotateSigningKey`."""

    at_once: bool = False
    comment: str = ""


class SigningKeysChanged(msgspec.Struct, frozen=True, kw_only=True, tag="signing_keys.changed", tag_field="type"):
    """authsvc > edges on `cb.push.signing_keys_changed`: these are the keys now."""


class VerifyGrant(msgspec.Struct, frozen=True, kw_only=True, tag="grant.verify", tag_field="type"):
    """edge > authsvc: who holds this grant, and what may they do now?

    Asked after the signature of an access token, with what that says. Answered with a `Principal` whose `key_id` is the
    grant, or `auth.invalid`: unknown, revoked, of another client, subject or organisation, or not for this resource.
    """

    grant: str
    client_id: str
    subject: str
    organisation: str
    resource: str
