"""The events of the keys that sign access tokens, in the installation's own log (`layers.SYSTEM`)."""

from __future__ import annotations

from datetime import datetime

import msgspec


class SigningKeyPublished(msgspec.Struct, frozen=True, kw_only=True, tag="signing_key.published", tag_field="type"):
    """The key is in the public set from here on, and signs from `signs_from` on. `thumbprint`: RFC 7638, SHA-256."""

    kid: str
    thumbprint: str
    signs_from: datetime


class SigningKeyRemoved(msgspec.Struct, frozen=True, kw_only=True, tag="signing_key.removed", tag_field="type"):
    """The key is in the public set no more: what it signed is refused."""

    kid: str


SigningEvent = SigningKeyPublished | SigningKeyRemoved
