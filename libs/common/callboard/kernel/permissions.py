"""One table of who may do what: used by the edge for MCP and for the API, and for minting tokens.

The full role ladder comes with identities; until then a principal has scopes.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from callboard.contracts.access import Principal
from callboard.kernel.names import matches

Action = Literal["use", "read", "manage", "administer"]

SCOPES: dict[str, frozenset[Action]] = {
    "use": frozenset({"use"}),
    "read": frozenset({"use", "read"}),
    "manage": frozenset({"use", "read", "manage"}),
    "administer": frozenset({"use", "read", "manage", "administer"}),
}
"""Scope of a token -> actions. `administer` reaches every organisation and the installation itself."""


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
    if not any(action in SCOPES.get(scope, ()) for scope in principal.scopes):
        return False
    if action == "administer" or not organisation:
        return principal.organisation == "*"
    if principal.organisation not in ("*", organisation):
        return False
    if not playbook or not principal.playbooks:
        return True
    return any(matches(pattern, playbook) for pattern in principal.playbooks)
