"""One table of who may do what: asked by the edge for MCP and the API, by authsvc for tokens and members.

An action is a level of the ladder, which holds all levels below it, or a permission (`noun:verb`), which is a part of
one level and can be given by itself. Scopes of tokens, roles of members and permissions on top of a role are all names
of this table. What a principal may do is what its scopes allow and, where a member stands behind it, what that member
may do now.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Final, Literal

from callboard.contracts.access import EVERY_ORGANISATION, Principal
from callboard.kernel.names import matches

Action = Literal[
    "use",
    "read",
    "operate",
    "manage",
    "govern",
    "own",
    "administer",
    "call:read",
    "event:read",
    "member:read",
    "project:read",
    "playbook:draft",
    "playbook:roll_back",
    "playbook:assign",
    "drift:decide",
    "call:replay",
    "status:read",
    "playbook:publish",
    "server:manage",
    "secret:manage",
    "token:manage",
    "consumer:manage",
    "project:manage",
    "member:manage",
]

_LADDER: Final[Mapping[str, tuple[str, ...]]] = {
    "use": (),
    "read": ("call:read", "event:read", "member:read", "project:read"),
    "operate": (
        "playbook:draft",
        "playbook:roll_back",
        "playbook:assign",
        "drift:decide",
        "call:replay",
        "status:read",
    ),
    "manage": (
        "playbook:publish",
        "server:manage",
        "secret:manage",
        "token:manage",
        "consumer:manage",
        "project:manage",
    ),
    "govern": ("member:manage",),
    "own": (),
    "administer": (),
}
"""Level -> the permissions that come with it, from the lowest level to the highest."""

ROLES: Final[Mapping[str, str]] = {
    "user": "use",
    "viewer": "read",
    "operator": "operate",
    "manager": "manage",
    "admin": "govern",
    "owner": "own",
}
"""Role of a member -> level, from the lowest to the highest."""

PERMISSIONS: Final = tuple(permission for level in _LADDER.values() for permission in level)
"""What can stand on top of a role, or alone as a scope of a token."""
SCOPES: Final = (*tuple(_LADDER)[:-1], *PERMISSIONS)
"""What a client's token may be for; `administer` belongs to administrators of the installation alone."""


def _levels() -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    held: frozenset[str] = frozenset()
    for level, permissions in _LADDER.items():
        held = found[level] = held | {level, *permissions}
    return found


_MEANING: Final[dict[str, frozenset[str]]] = {
    **{permission: frozenset((permission,)) for permission in PERMISSIONS},
    **(_LEVELS := _levels()),
    **{role: _LEVELS[level] for role, level in ROLES.items()},
}


@lru_cache(maxsize=4096)
def actions_of(names: tuple[str, ...]) -> frozenset[str]:
    """All actions that these scopes, roles or permissions allow together; an unknown name allows nothing."""
    return frozenset[str]().union(*(_MEANING.get(name, frozenset()) for name in names))


def selection_of(playbooks: Collection[str]) -> str:
    """The playbooks that a token opens in its organisation, as one text: its globs in order with commas, or `*`.

    The name of a playbook when it is just that one. A token never changes, and so neither does its selection; which
    playbooks it selects may.
    """
    globs = set(playbooks)
    return "*" if not globs or "*" in globs else ",".join(sorted(globs))


def selects(selection: str, playbook: str) -> bool:
    """Whether a playbook is one of a selection."""
    return any(matches(glob, playbook) for glob in selection.split(","))


def can(principal: Principal, action: Action, organisation: str = "", playbook: str = "") -> bool:
    """Whether the principal may do this to the organisation (and to the playbook, when one is named)."""
    if action not in actions_of(principal.scopes):
        return False
    if action == "administer" or not organisation:
        return principal.organisation == EVERY_ORGANISATION
    if principal.grants is None:
        if principal.organisation not in (EVERY_ORGANISATION, organisation):
            return False
    elif action not in actions_of(principal.grants.get(organisation, ())):
        return False
    if not playbook or not principal.playbooks:
        return True
    return any(matches(pattern, playbook) for pattern in principal.playbooks)


def may_give(principal: Principal, names: tuple[str, ...], organisation: str) -> bool:
    """Whether these scopes, roles or permissions are no more than the principal itself may do there."""
    held = actions_of(principal.scopes)
    if principal.grants is not None:
        held &= actions_of(principal.grants.get(organisation, ()))
    elif principal.organisation not in (EVERY_ORGANISATION, organisation):
        return False
    return actions_of(names) <= held
