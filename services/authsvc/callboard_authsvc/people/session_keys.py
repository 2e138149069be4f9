"""How a session is called where principals have a `key_id`: no token can have this one."""

from __future__ import annotations

_PREFIX = "session-"


def principal_key(key_id: str) -> str:
    """The `key_id` of the principal of a session."""
    return _PREFIX + key_id


def session_key(principal_key_id: str) -> str | None:
    """The session behind a principal's `key_id`; None for that of a token."""
    return principal_key_id.removeprefix(_PREFIX) if principal_key_id.startswith(_PREFIX) else None
