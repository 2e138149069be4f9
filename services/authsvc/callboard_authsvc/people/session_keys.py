"""How principals without a token are called where they have a `key_id`: no token can have one of these."""

from __future__ import annotations

_PREFIX = "session-"
_EXTERNAL = "external-"


def principal_key(key_id: str) -> str:
    """The `key_id` of the principal of a session."""
    return _PREFIX + key_id


def session_key(principal_key_id: str) -> str | None:
    """The session behind a principal's `key_id`; None for that of a token."""
    return principal_key_id.removeprefix(_PREFIX) if principal_key_id.startswith(_PREFIX) else None


def external_key(person: str) -> str:
    """The `key_id` of the principal of a person whom the identity provider vouches for, request by request."""
    return _EXTERNAL + person


def external_person(principal_key_id: str) -> str | None:
    """The person behind such a `key_id`; None for any other."""
    return principal_key_id.removeprefix(_EXTERNAL) if principal_key_id.startswith(_EXTERNAL) else None
